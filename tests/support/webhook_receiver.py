"""A receiver of webhooks: checks what comes with the library of the Standard Webhooks project.

POST anything     a message; answered as `mode` says
GET  /messages    all that came so far, as JSON, each with whether the library believes it
PUT  /mode        as receiver.py has it; with "headers" these are sent along with "answer", and with "slow"
                  each answer waits so many seconds, or until the mode is another
Takes the secrets that it knows as arguments, beside what receiver.py takes.
"""

import sys
import time

from receiver import Handler, changed, mode, serve
from standardwebhooks import Webhook, WebhookVerificationError

messages = []
secrets = [Webhook(secret) for secret in sys.argv[1:] if secret.startswith("whsec_")]


def believes(secret, body, headers):
    try:
        secret.verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


class Messages(Handler):
    def do_POST(self):
        body = self.body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, further = 200, {}
        if self.is_planned():
            status, further = mode["answer"], mode.get("headers", {})
        messages.append(
            {
                "path": self.path,
                "headers": headers,
                "body": body.decode(),
                "believed": [believes(secret, body, headers) for secret in secrets],
                "status": status,
                "at": time.time(),
            }
        )
        with changed:
            changed.wait_for(lambda: "slow" not in mode, mode.get("slow", 0))
        self.answer(status, b"", further)

    def do_GET(self):
        self.answer_json(messages)


serve(Messages, [file for file in sys.argv[1:] if not file.startswith("whsec_")])
