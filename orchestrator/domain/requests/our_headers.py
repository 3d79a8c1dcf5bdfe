"""The headers that mark a request as this service's, for its target."""

JOB_ID_HEADER = "X-EZThrottle-Job-Id"
ATTEMPT_HEADER = "X-EZThrottle-Attempt"
REGION_HEADER = "X-EZThrottle-Region"
