"""Real media for tests, made by ffmpeg: pictures and videos of plain colours, sounds of one pitch."""
import subprocess

COLOURS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255),
           "black": (0, 0, 0), "yellow": (255, 255, 0)}


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-nostdin", *map(str, arguments)], check=True)


def picture(path, colour="red", size="64x48", **more):
    """A picture of one colour, with a black square in its upper left corner when corner=True."""
    draw = ["-vf", "drawbox=0:0:8:8:black:fill"] if more.get("corner") else []
    quality = ["-q:v", "2"] if path.suffix == ".jpg" else ["-lossless", "1"] if path.suffix == ".webp" else []
    ffmpeg("-f", "lavfi", "-i", f"color={colour}:s={size}", *draw, "-frames:v", 1, *quality, path)


def video(path, colours=tuple(COLOURS), seconds=1, rate=10, *options):
    """A video that shows each colour for so many seconds."""
    inputs, names = [], ""
    for i, colour in enumerate(colours):
        inputs += ["-f", "lavfi", "-i", f"color={colour}:s=64x48:r={rate}:d={seconds}"]
        names += f"[{i}]"
    codec = ["-c:v", "libvpx", "-b:v", "500k"] if path.suffix == ".webm" else ["-c:v", "libx264", "-crf", "10"]
    ffmpeg(*inputs, "-filter_complex", f"{names}concat=n={len(colours)}", "-pix_fmt", "yuv420p", *codec,
           *options, path)


def sound(path, pitch=440, seconds=2):
    ffmpeg("-f", "lavfi", "-i", f"sine={pitch}:duration={seconds}", path)


def every_format(folder):
    """a.jpg, a.png, ... of each format that is decoded."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("jpg", "png", "webp", "gif"):
        picture(folder / f"a.{kind}")
    for kind in ("mp4", "mov", "webm"):
        video(folder / f"a.{kind}", ("red", "blue"))
    for kind in ("wav", "mp3", "flac", "ogg", "m4a"):
        sound(folder / f"a.{kind}")
