// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// What windows.h, complex.h and old code bases define before they include anybody else's headers.
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define I hostile_macro_I
#define near
#define far
#define small char
#define ERROR 0
#define DOMAIN 1
#define OVERFLOW 3

#include <pare/all_headers.hpp>
