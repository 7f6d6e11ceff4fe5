"""Which kernels and rates are measured on the machine at hand, and kept for the next process?"""
