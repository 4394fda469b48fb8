"""Loops in the compiler's own language, where what it makes of plain ones is twice as slow.

Rows of a table are added up as vectors whose sums stay in registers; a bucket of an index is compared
as one vector, so that nothing branches on which of its slots is the right one.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped
from numba.extending import intrinsic

cgutils: Any = untyped
WIDTH = 64  # columns at a time
SLOTS = 8  # of a bucket: one cache line
SLOTS = 8  # of a bucket, one cache line
ROW_BITS = 40  # of a slot; above them is what tells its hash from others
LEAST, MOST = -256, 255  # a part
SMALL = 16  # so many products of a part up to this and a row's value still fit in 16 bits

_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_BYTES, _SHORTS, _SUMS = (ir.VectorType(kind, WIDTH) for kind in (_BYTE, _SHORT, _INT))
_BUCKET = ir.VectorType(_LONG, SLOTS)


@intrinsic
def add(typing: Any, rows: Any, parts: Any, n: Any, table: Any, begin: Any, total: Any) -> Any:
    """Set `total[begin:][:WIDTH]` to the sum over `k < n` of `parts[k] * table[rows[k], begin:][:WIDTH]`.

    `rows`, `parts` and `total` are int32, `table` int8 (n_rows, a multiple of WIDTH); no bounds are
    checked. A part is multiplied in 16 bits, so it may be LEAST to MOST.
    """
    counted = types.int64
    return types.void(rows, parts, counted, table, counted, total), _write_add


@intrinsic
def add_small(typing: Any, rows: Any, parts: Any, n: Any, table: Any, begin: Any, total: Any) -> Any:
    """The same for parts of 0 to SMALL: so many rows at a time are added up in 16 bits."""
    counted = types.int64
    return types.void(rows, parts, counted, table, counted, total), _write_add_small


@intrinsic
def match(typing: Any, slots: Any, bucket: Any, own: Any) -> Any:
    """The low ROW_BITS of the slot in a bucket whose other bits are `own`, 0 if none; is it full?

    `slots` is uint64 (a multiple of SLOTS,), filled from each bucket's begin on; no bounds are checked.
    """
    counted = types.uint64
    pair: Any = types.Tuple
    return pair((types.uint64, types.boolean))(slots, counted, counted), _write_match


@intrinsic
def fetch(typing: Any, table: Any, at: Any) -> Any:
    """Begin to fetch the cache line of `table[at]`, a row of it or an element; it need not be there."""
    return types.void(table, types.uint64), _write_fetch


class _Rows:
    """The arguments of `add` as the compiler's values, and what is done with each row."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        arrays = {
            at: context.make_array(signature.args[at])(context, builder, arguments[at]) for at in (0, 1, 3, 5)
        }
        self.builder = builder
        self.rows, self.parts = (builder.bitcast(arrays[at].data, _INT.as_pointer()) for at in (0, 1))
        self.table = builder.bitcast(arrays[3].data, _BYTE.as_pointer())
        self.columns = builder.extract_value(arrays[3].shape, 1)
        self.n, self.begin = arguments[2], arguments[4]
        self.total = builder.gep(builder.bitcast(arrays[5].data, _INT.as_pointer()), [self.begin])

    def product(self, k: Any) -> Any:
        """The row of number `k` times its part, in 16 bits."""
        builder = self.builder
        row = builder.zext(builder.load(builder.gep(self.rows, [k])), _LONG)
        at = builder.gep(self.table, [builder.add(builder.mul(row, self.columns), self.begin)])
        values = builder.sext(builder.load(builder.bitcast(at, _BYTES.as_pointer()), align=1), _SHORTS)
        part = builder.trunc(builder.load(builder.gep(self.parts, [k])), _SHORT)
        return builder.mul(values, _spread(builder, part, _SHORTS))

    def store(self, sums: Any) -> None:
        """Write the sums to the total."""
        self.builder.store(sums, self.builder.bitcast(self.total, _SUMS.as_pointer()), align=4)


def _spread(builder: Any, value: Any, vector: Any) -> Any:
    unset = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(unset, value, ir.Constant(_INT, 0))
    everywhere = ir.Constant(ir.VectorType(_INT, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, unset, everywhere)


def _zeros(vector: Any) -> Any:
    return ir.Constant(vector, [0] * vector.count)


def _write_add(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    of = _Rows(context, builder, signature, arguments)
    sums = cgutils.alloca_once_value(builder, _zeros(_SUMS))
    with cgutils.for_range(builder, of.n) as loop:
        builder.store(builder.add(builder.load(sums), builder.sext(of.product(loop.index), _SUMS)), sums)
    of.store(builder.load(sums))
    return context.get_dummy_value()


def _write_add_small(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    of = _Rows(context, builder, signature, arguments)
    sums = cgutils.alloca_once_value(builder, _zeros(_SUMS))
    few = cgutils.alloca_once_value(builder, _zeros(_SHORTS))
    begin, step = ir.Constant(_LONG, 0), ir.Constant(_LONG, SMALL)
    with cgutils.for_range_slice(builder, begin, of.n, step, _LONG) as (first, _):
        builder.store(_zeros(_SHORTS), few)
        last = builder.add(first, step)
        stop = builder.select(builder.icmp_signed("<", last, of.n), last, of.n)
        with cgutils.for_range_slice(builder, first, stop, ir.Constant(_LONG, 1), _LONG) as (k, _):
            builder.store(builder.add(builder.load(few), of.product(k)), few)
        builder.store(builder.add(builder.load(sums), builder.sext(builder.load(few), _SUMS)), sums)
    of.store(builder.load(sums))
    return context.get_dummy_value()


def _write_match(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    slots = builder.bitcast(array.data, _LONG.as_pointer())
    at = builder.gep(slots, [builder.mul(arguments[1], ir.Constant(_LONG, SLOTS))])
    bucket = builder.load(builder.bitcast(at, _BUCKET.as_pointer()), align=8)
    owners = builder.lshr(bucket, ir.Constant(_BUCKET, [ROW_BITS] * SLOTS))
    rows = builder.and_(bucket, ir.Constant(_BUCKET, [(1 << ROW_BITS) - 1] * SLOTS))
    same = builder.icmp_unsigned("==", owners, _spread(builder, arguments[2], _BUCKET))
    kind = ir.FunctionType(_LONG, [_BUCKET])
    either = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.or.v{SLOTS}i64")
    found = builder.call(either, [builder.select(same, rows, _zeros(_BUCKET))])
    last = builder.extract_element(bucket, ir.Constant(_INT, SLOTS - 1))
    full = builder.icmp_unsigned("!=", last, ir.Constant(_LONG, 0))
    return context.make_tuple(builder, signature.return_type, [found, full])


def _write_fetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    data = builder.bitcast(array.data, _BYTE.as_pointer())
    where = builder.gep(data, [builder.mul(arguments[1], builder.extract_value(array.strides, 0))])
    kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), _INT, _INT, _INT])
    call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(call, [where, ir.Constant(_INT, 0), ir.Constant(_INT, 3), ir.Constant(_INT, 1)])
    return context.get_dummy_value()
