# Settings of ggml for packages: included by ggml's own project() when TRANCHE_PORTABLE is set (scripts/setup).
# The code is for x86-64-v3 (AVX2, FMA, F16C, BMI2) and not for the processor that compiles; src/app/main.c
# checks for it. The native runtime's kernels (src/kernel) are chosen when the program runs, as in any build.
set(GGML_NATIVE OFF)
foreach(feature SSE42 AVX AVX2 BMI2 FMA F16C)
  set(GGML_${feature} ON)
endforeach()
