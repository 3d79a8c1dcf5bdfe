"""What a client can do, written once as coroutines; `client` has a blocking and an asyncio class of it."""

from ezthrottle._operations.calling import Calling
from ezthrottle._operations.jobs import Jobs
from ezthrottle._operations.overviews import Overviews
from ezthrottle._operations.published import Published
from ezthrottle._operations.secrets import Secrets
from ezthrottle._operations.submitting import Submitting
from ezthrottle._operations.webhooks import Webhooks


class Operations(Submitting, Jobs, Webhooks, Secrets, Overviews, Calling, Published):
    """All operations of one client; their docstrings are those of the client's methods.

    >>> run(Operations(service, client).submit_job("https://api.example.com"))["job_id"]
    'job_1763674210055_853341'
    """
