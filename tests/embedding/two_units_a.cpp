// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// With two_units_b.cpp: every function of the headers is inline, or this does not link.
#include <pare/all_headers.hpp>

float sum_of_layer(float weight);

int main() { return sum_of_layer(0.5f) == 4.0f ? 0 : 1; }
