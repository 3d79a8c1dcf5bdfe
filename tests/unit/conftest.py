"""What holds for every unit test."""

import os

# A call of Ray's before ray.init would start a whole Ray, there until the last test: so it is an error.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
