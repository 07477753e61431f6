//! Which addresses of a gateway are trusted with money: only the gateway's own hosts of the right environment, and, with test money,
//! this very machine. The list is compiled in, so that no configuration can send the secret key elsewhere.

use super::Environment;

/// Why an address may not be charged; none where it may.
pub(super) fn refusal(url: &str, environment: Environment) -> Option<&'static str> {
    let Some((scheme, host)) = scheme_and_host(url) else { return misshapen(url) };
    let loopback = is_loopback(host);
    let ours = host.ends_with(".checkout.com");
    let sandbox = host.split('.').any(|label| label == "sandbox");
    match environment {
        Environment::Live if scheme != "https" => Some("must be https in environment live"),
        Environment::Live if !ours => Some("must be a host of checkout.com in environment live"),
        Environment::Live if sandbox => Some("is a sandbox host, but installation.environment is live"),
        Environment::Sandbox if loopback => None,
        Environment::Sandbox if !ours => {
            Some("must be a host of checkout.com, or this machine (127.0.0.1, [::1], localhost)")
        }
        Environment::Sandbox if scheme != "https" => Some("must be https; http is for this machine only"),
        Environment::Sandbox if !sandbox => Some("is a live host, but installation.environment is sandbox"),
        Environment::Live | Environment::Sandbox => None,
    }
}

/// Why an address is none in any environment; none where it has the right form.
pub(super) fn misshapen(url: &str) -> Option<&'static str> {
    let form = "must be http:// or https://, a host and perhaps a port, without a user or a path, such as \"https://api.checkout.com\"";
    scheme_and_host(url).is_none().then_some(form)
}

/// Whether a customer's browser may be sent there after a first payment.
pub(super) fn is_return_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host_is_there = rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['));
    text.len() <= 1024 && host_is_there && text.chars().all(|c| c.is_ascii_graphic())
}

/// Splits `scheme://host[:port]`. Anything that another reader could take for a different host (a user, a path, capitals,
/// a backslash) is refused rather than understood.
fn scheme_and_host(url: &str) -> Option<(&str, &str)> {
    let (scheme, authority) = url.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    if let Some(port) = authority.strip_prefix("[::1]") {
        return is_port(port).then_some((scheme, "[::1]"));
    }
    let host_end = authority.find(':').unwrap_or(authority.len());
    let (host, port) = authority.split_at(host_end);
    let is_label = |label: &str| {
        let inside = label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        inside && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    (is_port(port) && host.split('.').all(is_label)).then_some((scheme, host))
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| digits(port) && port.parse().is_ok_and(|port: u16| port > 0))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_gateways_hosts_and_this_machine_are_trusted() {
        for url in [
            "https://api.sandbox.checkout.com",
            "https://vkuhvk4v.api.sandbox.checkout.com",
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "https://[::1]:8443",
            "http://127.8.8.8",
        ] {
            assert_eq!(refusal(url, Environment::Sandbox), None, "{url}");
            assert!(refusal(url, Environment::Live).is_some(), "{url}");
        }
        for url in ["https://api.checkout.com", "https://vkuhvk4v.api.checkout.com:443"] {
            assert_eq!(refusal(url, Environment::Live), None, "{url}");
            assert!(refusal(url, Environment::Sandbox).is_some(), "{url}");
        }
    }

    #[test]
    fn an_address_that_could_be_read_in_two_ways_is_refused() {
        for url in [
            "https://api.checkout.com/",
            "https://api.checkout.com@evil.example",
            "https://evil.example/.checkout.com",
            "https://evil.example?.checkout.com",
            "https://evil.example#.checkout.com",
            "https://evil.example\\.checkout.com",
            "https://evilcheckout.com",
            "https://api.checkout.com.evil.example",
            "https://API.checkout.com",
            "https://.checkout.com",
            "https://api.checkout.com:0",
            "https://api.checkout.com:+443",
            "https://127.1",
            "http://api.checkout.com",
            "ftp://api.checkout.com",
            "http://10.0.0.1",
            "http://[::1].checkout.com",
            "api.checkout.com",
            "",
        ] {
            assert!(refusal(url, Environment::Live).is_some(), "{url}");
            assert!(refusal(url, Environment::Sandbox).is_some(), "{url}");
        }
    }

    #[test]
    fn a_return_address_is_http_and_short() {
        assert!(is_return_address("https://shop.example/thanks?order=1"));
        assert!(is_return_address("http://localhost:3000/thanks"));
        let long = format!("https://shop.example/{}", "a".repeat(1024));
        for text in ["", "https://", "https:///thanks", "javascript:alert(1)", "https://shop.example/a b", &long] {
            assert!(!is_return_address(text), "{text}");
        }
    }
}
