"""The commands `ace-slam map ...`: what is done to a saved map."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ...core.config.navigation import GridConfig

DONE = 0
GRID = GridConfig()
#: What Open3D writes, by the end of a file's name; the .glb of its release 0.20 cannot be read.
MESHES = (".ply", ".obj", ".stl")


def add_map_commands(add: Any) -> None:
    """Declare `map info`, `map draw`, `map grid` and `map export`.

    Args:
        add: makes a subcommand of a name, a function and a line of help.
    """
    maps = add("map", None, "tell, draw or export a saved map")
    actions = maps.add_subparsers(title="actions", required=True, metavar="ACTION")

    def action(name: str, command: Any, help: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(
            name, help=help, description=help[0].upper() + help[1:] + ".")
        parser.add_argument("map", type=Path, metavar="MAP", help="folder of the map")
        parser.set_defaults(command=command)
        return parser

    info = action("info", _info, "size, area, keyframes, where it is thin, and what made it")
    info.add_argument("--json", action="store_true", help="print one JSON object")
    draw = action("draw", _draw, "floor plan: grid, keyframes, coverage and loops, as a PNG file")
    draw.add_argument("--out", type=Path, metavar="FILE", help="default: MAP.png beside it")
    grid = action("grid", _grid, "occupancy grid as NAME.pgm and NAME.yaml, for nav2_map_server")
    grid.add_argument("--out", type=Path, metavar="NAME", help="default: MAP beside it")
    grid.add_argument("--resolution", type=_centimeters, default=GRID.resolution_m, metavar="M",
                      help=f"edge of a cell (default: {GRID.resolution_m:g})")
    grid.add_argument("--highest", type=float, default=GRID.highest_m, metavar="M",
                      help="grid.highest_m when it was mapped, 0.1 to 5 m "
                      f"(default: {GRID.highest_m:g})")
    export = action("export", _export, "surface as points with normals or as a mesh, no color")
    export.add_argument("--ply", type=Path, metavar="FILE",
                        help="points; default, unless --mesh is given: MAP.ply beside it")
    export.add_argument(
        "--mesh", type=_mesh_file, nargs="?", const=Path(), metavar="FILE",
        help="triangles, by Open3D (pip install '.[mesh]'), as .ply, .obj or .stl; default: "
        "MAP_mesh.ply beside it")
    export.add_argument(
        "--voxel", type=_centimeters, default=0.02, metavar="M", help="size of a point's voxel, "
        "0.005 to 1 m (default: 0.02)")


def _centimeters(text: str) -> float:
    value = float(text)
    if not 0.005 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is outside 0.005 to 1 m")
    return value


def _mesh_file(text: str) -> Path:
    if Path(text).suffix.lower() not in MESHES:
        raise argparse.ArgumentTypeError(f"{text} does not end in {', '.join(MESHES)}")
    return Path(text)


def _info(args: argparse.Namespace) -> int:
    from ...core.maps.map_folder import load_map
    from ..reporting import say, table
    from .report import report

    found = report(load_map(args.map))
    if args.json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        say(table(found.rows()))
    return DONE


def _draw(args: argparse.Namespace) -> int:
    from ...core.maps.map_folder import load_map
    from ..reporting import say
    from .picture import draw_map

    stored = load_map(args.map)
    out = args.out or beside(stored.path, ".png")
    draw_map(out, stored)
    say(f"  drawn     {out}")
    return DONE


def _grid(args: argparse.Namespace) -> int:
    from ...core.maps.map_folder import load_map
    from ..reporting import say
    from .grid import write_grid

    config = GridConfig(resolution_m=args.resolution, highest_m=args.highest)
    stored = load_map(args.map)
    out = args.out or beside(stored.path, "")
    picture = write_grid(out, stored, config)
    height, width = picture.cells_HW.shape
    say(f"  written   {out}.pgm and .yaml: {width} x {height} cells of {args.resolution:g} m")
    return DONE


def _export(args: argparse.Namespace) -> int:
    from ...core.maps.map_folder import load_map
    from ..reporting import say
    from .mesh import import_open3d, mesh_of, write_mesh
    from .surface import fitted, fuse, in_map, keyframes_of, write_ply

    if args.mesh is not None:
        import_open3d()  # before a large map is read
    stored = load_map(args.map)
    voxels = fitted(fuse(in_map(keyframes_of(stored)), args.voxel))
    if args.ply or args.mesh is None:
        out = args.ply or beside(stored.path, ".ply")
        write_ply(out, voxels)
        say(f"  written   {out}: {len(voxels)} points with normals, {args.voxel:g} m apart")
    if args.mesh is not None:
        out = args.mesh if args.mesh.name else beside(stored.path, "_mesh.ply")
        mesh = mesh_of(voxels, args.voxel)
        write_mesh(out, mesh)
        say(f"  written   {out}: {len(mesh.triangles_K3)} triangles")
    return DONE


def beside(folder: Path, suffix: str) -> Path:
    """Return the path of a file beside a map folder, named like it."""
    return folder.parent / f"{folder.name}{suffix}"
