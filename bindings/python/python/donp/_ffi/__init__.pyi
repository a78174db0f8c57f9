from .donp_ffi import *
