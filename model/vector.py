"""One loop in the compiler's own language: rows of a table, added up as vectors.

Written as a loop over columns, the compiler loads and stores every sum once for each row, which takes
twice as long; here the sums stay in registers.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WIDTH = 64  # columns at a time

_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))


@intrinsic
def add(typing: Any, rows: Any, parts: Any, n: Any, table: Any, begin: Any, total: Any) -> Any:
    """Set `total[begin:][:WIDTH]` to the sum over `k < n` of `parts[k] * table[rows[k], begin:][:WIDTH]`.

    `rows`, `parts` and `total` are int32, `table` int8 (n_rows, a multiple of WIDTH); no bounds are
    checked. A part is multiplied in 16 bits, so it may be -256 to 255.
    """
    counted = types.int64
    return types.void(rows, parts, counted, table, counted, total), _write


def _write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    arrays = {
        at: context.make_array(signature.args[at])(context, builder, arguments[at]) for at in (0, 1, 3, 5)
    }
    rows, parts = (builder.bitcast(arrays[at].data, _INT.as_pointer()) for at in (0, 1))
    table = builder.bitcast(arrays[3].data, _BYTE.as_pointer())
    columns = builder.extract_value(arrays[3].shape, 1)
    n, begin = arguments[2], arguments[4]
    bytes_, shorts, sums = (ir.VectorType(kind, WIDTH) for kind in (_BYTE, _SHORT, _INT))
    nothing, unset = ir.Constant(sums, [0] * WIDTH), ir.Constant(shorts, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(_INT, WIDTH), [0] * WIDTH)
    before = builder.block
    loop, after = builder.append_basic_block("rows"), builder.append_basic_block("added")
    builder.cbranch(builder.icmp_signed("<", ir.Constant(_LONG, 0), n), loop, after)

    builder.position_at_end(loop)
    k, so_far = builder.phi(_LONG), builder.phi(sums)
    row = builder.zext(builder.load(builder.gep(rows, [k])), _LONG)
    at = builder.gep(table, [builder.add(builder.mul(row, columns), begin)])
    values = builder.sext(builder.load(builder.bitcast(at, bytes_.as_pointer()), align=1), shorts)
    part = builder.trunc(builder.load(builder.gep(parts, [k])), _SHORT)
    factor = builder.shuffle_vector(
        builder.insert_element(unset, part, ir.Constant(_INT, 0)), unset, everywhere
    )
    added = builder.add(so_far, builder.sext(builder.mul(values, factor), sums))
    following = builder.add(k, ir.Constant(_LONG, 1))
    for phi, first, later in ((k, ir.Constant(_LONG, 0), following), (so_far, nothing, added)):
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, n), loop, after)

    builder.position_at_end(after)
    whole = builder.phi(sums)
    whole.add_incoming(nothing, before)
    whole.add_incoming(added, loop)
    out = builder.gep(builder.bitcast(arrays[5].data, _INT.as_pointer()), [begin])
    builder.store(whole, builder.bitcast(out, sums.as_pointer()), align=4)
    return context.get_dummy_value()
