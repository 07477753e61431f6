"""A shop that uses Checkout.com's SDK for Python and nothing else, pointed at `dues sandbox`.

Usage: shop.py URL SECRET_KEY, with a sandbox that settles payments after a second. It ends with 1 at the first thing
that the SDK cannot read or that is not as Checkout.com documents it.
"""

import json
import logging
import sys
import time
import urllib.request
import uuid
import warnings

from checkout_sdk.checkout_sdk import CheckoutSdk
from checkout_sdk.common.common import CustomerRequest
from checkout_sdk.common.enums import Currency
from checkout_sdk.environment import Environment
from checkout_sdk.exception import CheckoutApiException
from checkout_sdk.payments.payment_apm import RequestAlipayPlusSource
from checkout_sdk.payments.payments import (
    OsType,
    PaymentRequest,
    PaymentRequestIdSource,
    PaymentsQueryFilter,
    PaymentType,
    ProcessingSettings,
    Product,
    RefundRequest,
    TerminalType,
)

AMOUNT_MINOR = 12800
REFUND_MINOR = 2800
PATIENCE_SECONDS = 20
PAUSE_SECONDS = 0.2


def main(url, secret_key):
    base = url + "/"
    environment = Environment(base, base, base, base, base, base, base, is_sandbox=True)
    with warnings.catch_warnings():
        # One host for all merchants is what Checkout.com is about to drop; the sandbox has no other.
        warnings.simplefilter("ignore", DeprecationWarning)
        api = CheckoutSdk.builder().secret_key(secret_key).environment(environment).use_legacy_domain().build()
    payments = api.payments

    regular = payments.request_payment(first_payment("SDK-REGULAR", PaymentType.REGULAR), key())
    expect(regular.http_metadata.status_code, 202)
    expect(regular.status, "Pending")
    expect(hasattr(regular.source, "id"), False)
    expect(regular._links.redirect.href, f"{url}/pay/{regular.id}")
    step("Regular AlipayHK payment", regular.id)

    request, idempotency_key = first_payment("SDK-RECURRING", PaymentType.RECURRING), key()
    recurring = payments.request_payment(request, idempotency_key)
    expect(recurring.source.type, "alipay_hk")
    expect(payments.request_payment(request, idempotency_key).id, recurring.id)
    step("Recurring AlipayHK payment, and again with its key", recurring.id)

    waiting = payments.get_payment_actions(recurring.id).items
    expect([(action.type, action.approved) for action in waiting], [("Authorization", False)])
    step("actions of a payment that waits", waiting[0].id)

    for payment in regular, recurring:
        expect(approve(url, payment.id)["status"], "Captured")
        details = payments.get_payment_details(payment.id)
        expect((details.status, details.approved, details.amount), ("Captured", True, AMOUNT_MINOR))
        expect(details.balances.available_to_refund, AMOUNT_MINOR)
        expect(details.customer.email, "wallet@example.com")
        expect((details.items[0].name, details.items[0].quantity), ("Monthly membership", 1))
    step("details of both, after the customer paid", details.processing.partner_customer_id)

    later = payments.request_payment(later_payment("SDK-LATER", recurring.source.id), key())
    expect((later.status, later.source.id), ("Pending", recurring.source.id))
    expect(hasattr(later._links, "redirect"), False)
    until(payments, later.id, "Captured")
    step("payment by the source's id", later.id)

    actions = payments.get_payment_actions(later.id).items
    expect([(action.type, action.response_code) for action in actions], [("Capture", "10000"), ("Authorization", "10000")])
    step("actions", ", ".join(action.id for action in actions))

    query = PaymentsQueryFilter()
    query.reference, query.limit, query.skip = "SDK-LATER", 10, 0
    found = payments.get_payments_list(query)
    expect((found.total_count, found.limit, found.skip), (1, 10, 0))
    expect([payment.id for payment in found.data], [later.id])
    step("list by reference", found.data[0].reference)

    refund = RefundRequest()
    refund.amount, refund.reference = REFUND_MINOR, "SDK-REFUND"
    idempotency_key = key()
    refunded = payments.refund_payment(later.id, refund, idempotency_key)
    expect((refunded.http_metadata.status_code, refunded.reference), (202, "SDK-REFUND"))
    expect(payments.refund_payment(later.id, refund, idempotency_key).action_id, refunded.action_id)
    details = until(payments, later.id, "Partially Refunded")
    expect((details.balances.total_refunded, details.balances.available_to_refund), (REFUND_MINOR, AMOUNT_MINOR - REFUND_MINOR))
    expect(payments.get_payment_actions(later.id).items[0].id, refunded.action_id)
    rest = RefundRequest()
    rest.amount = AMOUNT_MINOR - REFUND_MINOR
    payments.refund_payment(later.id, rest, key())
    until(payments, later.id, "Refunded")
    step("refund of a part, and of the rest", refunded.action_id)

    # The SDK logs every refusal as an error; these are wanted.
    logging.getLogger("checkout").setLevel(logging.CRITICAL)
    refused(422, ["amount_exceeds_balance"], lambda: payments.refund_payment(later.id, rest, key()))
    refused(422, ["source_id_invalid"], lambda: payments.request_payment(later_payment("SDK-WRONG", "card_1"), key()))
    refused(404, None, lambda: payments.get_payment_details("pay_nothing"))
    step("refusals", "422, 422, 404")

    with urllib.request.urlopen(f"{url}/sandbox/books") as reply:
        books = json.load(reply)
    expect(books["unknown_fields"], {})
    step("request fields that the sandbox does not know", "none")


def first_payment(reference, payment_type):
    request = payment(reference, payment_type)
    request.source = RequestAlipayPlusSource.request_alipay_plus_hk_source()
    request.processing = ProcessingSettings()
    request.processing.terminal_type, request.processing.os_type = TerminalType.WAP, OsType.ANDROID
    request.success_url, request.failure_url = "https://shop.example/success", "https://shop.example/failure"
    return request


def later_payment(reference, source_id):
    request = payment(reference, PaymentType.RECURRING)
    request.source = PaymentRequestIdSource()
    request.source.id = source_id
    request.merchant_initiated = True
    return request


def payment(reference, payment_type):
    request = PaymentRequest()
    request.amount, request.currency = AMOUNT_MINOR, Currency.HKD
    request.payment_type, request.reference = payment_type, reference
    request.customer = CustomerRequest()
    request.customer.email, request.customer.name = "wallet@example.com", "Wallet Customer"
    item = Product()
    item.name, item.reference, item.unit_price, item.quantity = "Monthly membership", "monthly", AMOUNT_MINOR, 1
    request.items = [item]
    request.metadata = {"subscription": reference}
    return request


def key():
    return str(uuid.uuid4())


def approve(url, payment_id):
    request = urllib.request.Request(f"{url}/sandbox/payments/{payment_id}/approve", data=b"", method="POST")
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def until(payments, payment_id, status):
    last = time.monotonic() + PATIENCE_SECONDS
    while True:
        details = payments.get_payment_details(payment_id)
        if details.status == status:
            return details
        if time.monotonic() > last:
            raise AssertionError(f"{payment_id} is {details.status}, not {status}, after {PATIENCE_SECONDS} s")
        time.sleep(PAUSE_SECONDS)


def refused(status, codes, call):
    try:
        call()
    except CheckoutApiException as refusal:
        expect((refusal.http_metadata.status_code, refusal.error_details), (status, codes))
    else:
        raise AssertionError(f"a {status} was expected")


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r} where {wanted!r} was expected")


def step(what, seen):
    print(f"{what}: {seen}")


if __name__ == "__main__":
    main(*sys.argv[1:])
