"""The untrusted side of the sandbox: the zygote and what it forks. Only this folder is importable there.

Nothing here may import from the parent package: the comparators and the expected outputs must not exist in
a process that runs, or was forked into, untrusted code.
"""
