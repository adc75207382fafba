"""How a kernel is described: buffers, contents, results."""

KERNELS = []
SM_90A = ("bulk", "tensor", "cluster", "pipelines", "clusters", "hopper")


def init(buffer):
    """The initial contents as numbers, or None for memory that nobody has written."""
    n, how = buffer["count"], buffer["init"]
    if how == "unwritten":
        return None
    if how == "zero":
        return [0] * n
    if how == "iota":
        return list(range(n))
    if "values" in how:
        return how["values"]
    return [(how["mul"] * i + how["add"]) % how["mod"] - how["minus"] for i in range(n)]


def mix(mul, add, mod, minus=0):
    return dict(mul=mul, add=add, mod=mod, minus=minus)


def buf(elem, count, how="iota", **more):
    return dict(elem=elem, count=count, init=how, **more)


def out(elem, count):
    return buf(elem, count, "unwritten")


def X(n, elem="i32"):
    """What a kernel reads: 0, 1, 2, and so on."""
    return buf(elem, n, "iota")


def I(n):  # noqa: E743
    """What a kernel writes: integers."""
    return out("i32", n)


def kernel(file, name, expect, params, grid=1, block=32, shared=0, cluster=1, cooperative=False, missing=(), result=None, tensormaps=None, note=None):
    """expect: "clean" or the checks of which one must fire, the likeliest first. params: name -> buffer, or an int, or "map"."""
    order, buffers = [], {}
    for n, p in params.items():
        if isinstance(p, dict):
            buffers[n] = p
            order.append(dict(name=n, kind="pointer"))
        elif p == "map":
            order.append(dict(name=n, kind="tensormap"))
        else:
            order.append(dict(name=n, kind="i32", value=p))
    for n, m in (tensormaps or {}).items():
        buffers[n] = m.pop("buffer")
    record = dict(name=name, file=f"{file}.cu", entry=name, target="sm_90a" if file in SM_90A else "sm_80", grid=three(grid), block=three(block), cluster=three(cluster),
                  dynamic_shared=shared, cooperative=cooperative, params=order, buffers=buffers,
                  expect=expect if expect == "clean" else [expect] if isinstance(expect, str) else list(expect))
    if missing:
        record["missing"] = list(missing)
    if tensormaps:
        record["tensormaps"] = tensormaps
    if result:
        record["result"] = {b: short(v) for b, v in result.items()}
    if note:
        record["note"] = note
    KERNELS.append(record)


def three(extent):
    return [extent, 1, 1] if isinstance(extent, int) else list(extent)


def short(v):
    """all / affine / values, whichever is shortest; dicts ("sorted", "sum") pass through."""
    if isinstance(v, dict):
        return v
    if len(set(v)) == 1:
        return dict(all=v[0])
    if all(v[i] == v[0] + (v[1] - v[0]) * i for i in range(len(v))):
        return dict(affine=[v[1] - v[0], v[0]])
    return dict(values=v)
