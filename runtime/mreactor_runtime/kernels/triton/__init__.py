"""The kernels written in the Triton language, a file each; files above of such names call them.

Apart, since importing Triton takes a second, and only a GPU needs it. With TRITON_INTERPRET=1 in
the environment before the first import they run on CPU tensors, one program after another.

Sizes of blocks are fixed and not tuned at run time: another block sums in another order, and the
same clip must give the same bytes in every run.
"""
