"""What stands between the network and the executor, for `sandbox.server` alone: nothing else imports it.

`connections` bounds how many there are and how long they may stay silent, `reading` what a request may hold,
`turns` whose request is next, `bodies` are the requests and answers themselves, and `options` the command line.
"""
