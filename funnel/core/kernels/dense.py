"""Dense layers side by side, computed in registers, with the same bits for a row wherever it stands.

Every element of a product is a chain of fused multiply-adds over k = 0, 1, 2, …, from its bias on. So
what a candidate gets does not depend on its neighbours, on the size of the batch, on threads or on
the machine. A BLAS product promises none of that: its tiles at the edge of a matrix add in another
order than those inside. Numba's own loops would keep the promise too, but not the sums in registers;
hence the vector code for LLVM.
"""

# llvmlite and numba's code generator have no types.
# mypy: disable-error-code="import-untyped, no-untyped-call, no-untyped-def, call-arg"

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from funnel.core.arrays import Floats
from funnel.core.kernels import kernel

# Six rows of 16 floats fill 12 of the 16 AVX registers; the others hold a row of weights and one factor.
ROWS, COLUMNS = 6, 16


@intrinsic
def tile(typing, x, x_step, weight, terms, bias, out, out_step, least):  # noqa: ARG001
    """out[r, c] = max(least, bias[c] + sum over k of x[r, k] weight[k, c]), for ROWS rows and COLUMNS columns.

    x, weight, bias, out: addresses of float32; x_step, out_step: floats from row to row; weight:
    [terms, COLUMNS], contiguous; least: float32, 0 for a ReLU, -inf for none.
    """
    signature = types.void(*[types.intp] * 7, types.float32)

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        x, x_step, weight, terms, bias, out, out_step, least = arguments
        number, vector = ir.FloatType(), ir.VectorType(ir.FloatType(), COLUMNS)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), COLUMNS), [0] * COLUMNS)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{COLUMNS}f32"
        )

        def at(address, index):
            pointer = builder.inttoptr(address, number.as_pointer())
            return builder.gep(pointer, [index])

        def vector_at(address, index):
            return builder.bitcast(at(address, index), vector.as_pointer())

        def spread(value):
            single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
            return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), lanes)

        zero = ir.Constant(terms.type, 0)
        start = builder.load(vector_at(bias, zero), align=4)
        sums = [cgutils.alloca_once_value(builder, start) for _ in range(ROWS)]
        begins = [builder.mul(ir.Constant(terms.type, row), x_step) for row in range(ROWS)]
        with cgutils.for_range(builder, terms) as loop:
            factors = builder.load(
                vector_at(weight, builder.mul(loop.index, ir.Constant(terms.type, COLUMNS))), align=4
            )
            for total, begin in zip(sums, begins, strict=True):
                value = spread(builder.load(at(x, builder.add(begin, loop.index))))
                builder.store(builder.call(fma, [value, factors, builder.load(total)]), total)
        floor = spread(least)
        for row, total in enumerate(sums):
            place = vector_at(out, builder.mul(ir.Constant(terms.type, row), out_step))
            value = builder.load(total)
            below = builder.fcmp_ordered("<", value, floor)  # a NaN stays
            builder.store(builder.select(below, floor, value), place, align=4)
        return context.get_dummy_value()

    return signature, generate


@kernel
def grouped_dense(x: Floats, panels: Floats, bias: Floats, columns: int, relu: bool) -> Floats:
    """float32 [n, G, columns]: x[:, g] @ weight[g] + bias[g], then ReLU if asked.

    x: [n, G, K], C-contiguous; panels, bias: as `pack` gives them.
    """
    rows, groups, terms = x.shape
    out = np.empty((rows, groups, columns), np.float32)
    edge_x = np.zeros((ROWS, terms), np.float32)  # a tile at the edge is computed in full, and the rest left out
    edge_out = np.empty((ROWS, COLUMNS), np.float32)
    least = np.float32(0) if relu else np.float32(-np.inf)
    for g in range(groups):
        for p in range(panels.shape[1]):
            begin = p * COLUMNS
            width = min(COLUMNS, columns - begin)
            w, b = panels[g, p].ctypes.data, bias[g, p].ctypes.data
            for i in range(0, rows, ROWS):
                height = min(ROWS, rows - i)
                source, source_step = x[i, g].ctypes.data, groups * terms
                if height < ROWS:
                    edge_x[:height] = x[i : i + height, g]
                    source, source_step = edge_x.ctypes.data, terms
                if height == ROWS and width == COLUMNS:
                    tile(source, source_step, w, terms, b, out[i, g, begin:].ctypes.data, groups * columns, least)
                else:
                    tile(source, source_step, w, terms, b, edge_out.ctypes.data, COLUMNS, least)
                    for r in range(height):
                        for c in range(width):
                            out[i + r, g, begin + c] = edge_out[r, c]
    return out


def pack(weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Weights [G, K, N] as panels [G, P, K, COLUMNS] and biases [G, N] as [G, P, COLUMNS], filled up with zeros."""
    groups, terms, columns = weight.shape
    count = -(-columns // COLUMNS)
    wide = np.zeros((groups, terms, count * COLUMNS), np.float32)
    wide[:, :, :columns] = weight
    padded = np.zeros((groups, count * COLUMNS), np.float32)
    padded[:, :columns] = bias
    panels = wide.reshape(groups, terms, count, COLUMNS).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(panels), padded.reshape(groups, count, COLUMNS)
