"""
A helpdesk begins: its database, queue and custom field, and who works there, with their tokens.

It runs in the environment of the systems.
"""

from __future__ import annotations

import os

import django
from django.core.management import call_command


def found() -> None:
    """Make all of it."""
    django.setup()
    call_command("migrate", verbosity=0)

    from django.contrib.auth import get_user_model  # noqa: PLC0415 - only now
    from helpdesk.models import CustomField, Queue  # noqa: PLC0415 - only now
    from rest_framework.authtoken.models import Token  # noqa: PLC0415 - only now

    Queue.objects.create(title="110", slug="police", allow_public_submission=False)
    CustomField.objects.create(
        name="exchange_id",
        label="Exchange id",
        data_type="varchar",
        max_length=40,
        required=False,
        staff_only=True,
    )
    for name in ("exchange", "wang"):
        user = get_user_model().objects.create_user(
            name, f"{name}@localhost", None, is_staff=True, is_superuser=True
        )
        Token.objects.create(user=user, key=os.environ[f"HELPDESK_TOKEN_{name.upper()}"])


if __name__ == "__main__":
    found()
