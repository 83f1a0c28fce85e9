SELECT r'a\b' a, "it's" b, '''x
y''' c, b'\x00\xff' d, 'nul\0' IS NULL, 0xFF h, .5 f, 1. g, 1e3 k, -9223372036854775808 m