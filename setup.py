"""Build the one extension module: each ISA's files with its flags, OpenMP where there is one.

Environment: FASTCONV_DEBUG=1 (assertions, no optimisation), FASTCONV_SANITIZE=address,undefined,
FASTCONV_OPENMP=0 (never use OpenMP).
"""

import os
import platform
import sys
import sysconfig
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("FASTCONV_DEBUG") == "1"
SANITIZE = os.environ.get("FASTCONV_SANITIZE", "")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

SHARED = ["cpu", "dispatch", "filter_block", "names", "parallel"]
ELEMENTS = ["f32", "f64", "u8", "u16"]
# ISA: (machines, or None for all; gcc and clang flags; MSVC flags; elements)
X86, ARM64 = {"x86_64", "amd64"}, {"aarch64", "arm64"}
ISAS = {
    "scalar": (None, [], [], ELEMENTS),
    "avx2": (X86, ["-mavx2", "-mfma", "-mf16c"], ["/arch:AVX2"], ELEMENTS),
    "avx512": (
        X86,
        ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"],
        ["/arch:AVX512"],
        ["f32", "u8", "u16"],
    ),
    "neon": (ARM64, [], [], ELEMENTS),
}

# Contraction off: a multiply-add is fused where the source says so, and nowhere else. Neither of
# the other two changes a value.
UNIX_FLAGS = ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
UNIX_FLAGS += ["-fvisibility=hidden"]  # Python finds PyInit__core, and nothing else is looked up
# -O3 is no faster, since the kernels are unrolled where it pays, and a sixth larger.
FAST_FLAGS = ["-O2", "-ftree-vectorize", "-fno-asynchronous-unwind-tables", "-g0"]
# As fast, and some 5,000 bytes less each.
FAST_FLAGS += ["-fipa-pta", "-fno-tree-pre", "-fno-gcse", "--param=vect-epilogues-nomask=0"]
# Loops are aligned, and nothing else.
FAST_FLAGS += ["-fno-align-functions", "-fno-align-jumps", "-fno-align-labels"]
# A fifth smaller: for what nobody takes for speed, and for float64, which loses some per cent (5 of
# some convolutions by the latter).
SMALL_FLAGS = ["-Os", "-fno-tree-loop-im"]
UNIX_FLAGS += ["-Og", "-g", "-UNDEBUG"] if DEBUG or SANITIZE else FAST_FLAGS
MSVC_FLAGS = ["/std:c11", "/fp:precise", *(["/Od", "/UNDEBUG"] if DEBUG else ["/O2"])]
SANITIZE_FLAGS = (
    [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    if SANITIZE
    else []
)
OPENMP_FLAGS = {"msvc": (["/openmp"], []), "unix": (["-fopenmp"], ["-fopenmp"])}


class BuildExt(build_ext):
    """Compile the C core variant by variant and hand its objects to the extension."""

    def build_extension(self, ext):
        self.force = True  # flags come from the environment, which no time stamp knows of
        msvc = self.compiler.compiler_type == "msvc"
        flags = (MSVC_FLAGS if msvc else UNIX_FLAGS) + SANITIZE_FLAGS
        ext.extra_link_args = list(SANITIZE_FLAGS)
        fast = not (msvc or DEBUG or SANITIZE)
        if fast:
            # Without names that nobody looks up, and pages between what is run and what is read.
            ext.extra_link_args += (
                ["-Wl,-x"] if sys.platform == "darwin" else ["-Wl,-s", "-Wl,-z,noseparate-code"]
            )
        openmp, openmp_link = self.find_openmp()
        ext.extra_link_args += openmp_link
        # Cython's own file: small, never ISA flags, and it knows nothing of threads.
        ext.extra_compile_args = [*flags, *([] if msvc else ["-Wno-unused-function"])]
        if fast:
            ext.extra_compile_args += SMALL_FLAGS

        shared = [f"src_c/{name}.c" for name in SHARED]
        small_flags = flags + (SMALL_FLAGS if fast else [])
        ext.extra_objects = self.compile_core(shared, small_flags + openmp)
        for isa, (machines, unix_flags, msvc_flags, elements) in ISAS.items():
            if machines is None or platform.machine().lower() in machines:
                isa_flags = flags + (msvc_flags if msvc else unix_flags)
                for element in elements:
                    small = element == "f64" or (isa == "scalar" and self.has_simd())
                    ext.extra_objects += self.compile_core(
                        [f"src_c/isa/{isa}_{element}.c"],
                        isa_flags + (SMALL_FLAGS if small and fast else []),
                    )
        super().build_extension(ext)

    @staticmethod
    def has_simd():
        return platform.machine().lower() in X86 | ARM64

    def compile_core(self, sources, flags):
        return self.compiler.compile(
            sources,
            output_dir=self.build_temp,
            include_dirs=["src_c"],
            extra_postargs=flags,
        )

    def find_openmp(self):
        """Flags to compile and link with OpenMP, or none where a trial program does not build."""
        kind = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        compile_flags, link_flags = OPENMP_FLAGS[kind]
        if os.environ.get("FASTCONV_OPENMP") == "0":
            return [], []
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "trial.c")
            source.write_text(
                "extern int omp_get_max_threads(void);\n"
                "int main(void) { return omp_get_max_threads() < 1; }\n"
            )
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_flags
                )
                self.compiler.link_executable(
                    objects, str(Path(folder, "trial")), extra_postargs=link_flags
                )
            except Exception as error:  # each compiler class raises its own
                print(f"fastconv: building without OpenMP ({error})", file=sys.stderr)
                return [], []
        return compile_flags, link_flags


Options.docstrings = False  # of a private module: who reads its source has them
core = Extension(
    "fastconv._core",
    ["fastconv/_core.pyx"],
    include_dirs=["src_c"],
    define_macros=[] if FREE_THREADED else [("Py_LIMITED_API", "0x030B0000")],
    py_limited_api=not FREE_THREADED,
)
setup(
    ext_modules=cythonize([core], build_dir="build"),
    cmdclass={"build_ext": BuildExt},
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
