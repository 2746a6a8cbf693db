"""Encrypting a push as RFC 8291 says, byte for byte; signing it as RFC 8292 says; which addresses are called."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from realtime.push.encryption import MOST_BYTES, encrypt, from_base64, sign, to_base64, vapid_public_key
from realtime.push.endpoints import host_of
from stepper.push_keys import make_vapid_key, read_vapid_key
from tests.push_service import Browser, verify

pytestmark = pytest.mark.embedded_only


def test_the_example_of_rfc_8291_comes_out_byte_for_byte() -> None:
    """Appendix A, whose keys, salt and text these are."""
    private = int.from_bytes(from_base64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        p256dh="BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        auth="BTBZMqHH6r4Tts7J_aSIgg",
        private_key=ec.derive_private_key(private, ec.SECP256R1()),
        salt=from_base64("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert to_base64(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A"
        "_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_browser_reads_what_was_encrypted_for_it_and_nobody_else_does() -> None:
    browser, other = Browser(), Browser()
    text = "₸9 180".encode() * (MOST_BYTES // 10)
    assert browser.decrypt(encrypt(text, **browser.keys)) == text
    assert encrypt(text, **browser.keys) != encrypt(text, **browser.keys)
    with pytest.raises(Exception, match=r"^$"):
        other.decrypt(encrypt(text, **browser.keys))


def test_longest_push_fills_what_services_take() -> None:
    browser = Browser()
    assert len(encrypt(b"a" * MOST_BYTES, **browser.keys)) == 4096
    with pytest.raises(ValueError, match="a push holds"):
        encrypt(b"a" * (MOST_BYTES + 1), **browser.keys)


def test_signature_names_the_service_it_is_for_and_whom_to_ask(settings) -> None:
    settings.VAPID_PRIVATE_KEY = make_vapid_key()
    claims = verify(sign("https://push.example.test/x/y?z=1"), "https://push.example.test")
    assert (claims["sub"], claims["key"]) == ("https://go.example.test", vapid_public_key())


# Not made when the tests are collected: workers have to find the same ones.
@pytest.mark.parametrize("text", ["x", "AAAA", to_base64(bytes(32)), to_base64(b"\xff" * 32), f"{'A' * 42}8=!"])
def test_key_that_is_none_is_refused_without_saying_it(text: str) -> None:
    with pytest.raises(Exception, match="VAPID_PRIVATE_KEY is no key") as refused:
        read_vapid_key(text)
    assert text not in str(refused.value).split(":")[0].replace("VAPID_PRIVATE_KEY is no key", "")


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc:def",
        "https://updates.push.services.mozilla.com/wpush/v2/abc",
        "https://web.push.apple.com/abc",
        "https://wns2-by3p.notify.windows.com/w/?token=abc",
        "https://fcm.googleapis.com:443/x",
    ],
)
def test_push_services_of_browsers_are_called(endpoint: str) -> None:
    assert host_of(endpoint) is not None


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com.example.test/x",
        "https://example.test/fcm.googleapis.com",
        "https://fcm.googleapis.com@example.test/x",
        "https://user@fcm.googleapis.com/x",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com:99999/x",
        "https://fcm.googleapis.com/x#y",
        "https://push.apple.com/x",
        "https://evilpush.apple.com.test/x",
        "https://xpush.services.mozilla.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[/x",
        "https://localhost/x",
        "https://fcm.googleapis.com\\@example.test/x",
        "https://fcm.googleapis.com/x\n",
        "https://fcm.googleapis.com/" + "x" * 1000,
        "",
    ],
)
def test_nobody_else_is_called(endpoint: str) -> None:
    assert host_of(endpoint) is None
