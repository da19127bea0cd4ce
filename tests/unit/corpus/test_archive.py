import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from mtkit.corpus import archive
from mtkit.corpus.archive import Pattern, members, open_member
from mtkit.errors import DataError


def everything(path: Path) -> dict[str, bytes]:
    return {member.name: member.stream.read() for member in members(path, lambda _: True)}


def make_tar(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, body in entries:
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return path


def make_zip(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_file:
        for name, body in files.items():
            archive_file.writestr(name, body)
    return path


def test_zip_tar_folder_and_single_file_read_alike(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip", b=b"2", a=b"1")
    make_tar(tmp_path / "a.tar.gz", (tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("b"), b"2"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"1")
    (tmp_path / "folder" / "b").write_bytes(b"2")
    (tmp_path / "one.txt.gz").write_bytes(gzip.compress(b"text"))
    assert (
        everything(tmp_path / "a.zip") == everything(tmp_path / "a.tar.gz") == everything(tmp_path / "folder")
    )
    assert everything(tmp_path / "one.txt.gz") == {"one.txt.gz": b"text"}


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_a_path_that_leaves_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    zipped = make_zip(tmp_path / "e.zip", **{name: b"x"})
    tarred = make_tar(tmp_path / "e.tar.gz", (tarfile.TarInfo(name), b"x"))
    for path in (zipped, tarred):
        with pytest.raises(DataError, match="leaves it"):
            everything(path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, "../secret"
    tarred = make_tar(tmp_path / "l.tar.gz", (link, b""), (hard, b""), (tarfile.TarInfo("real"), b"1"))
    zipped = tmp_path / "l.zip"
    with zipfile.ZipFile(zipped, "w") as archive_file:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive_file.writestr(info, str(tmp_path / "secret"))
        archive_file.writestr("real", "1")
    assert everything(tarred) == everything(zipped) == {"real": b"1"}


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "folder" / "..")
    assert everything(tmp_path / "folder") == {}


def test_an_archive_that_grows_out_of_proportion_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED_BYTES", 1000)
    bomb = b"a" * 3_000_000
    zipped = make_zip(tmp_path / "b.zip", bomb=bomb)
    tarred = make_tar(tmp_path / "b.tar.gz", (tarfile.TarInfo("bomb"), bomb))
    single = tmp_path / "b.gz"
    single.write_bytes(gzip.compress(bomb))
    for path in (zipped, tarred, single):
        with pytest.raises(DataError, match="grows to more than 100 times"):
            everything(path)


def test_many_small_members_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED_BYTES", 0)
    path = make_zip(tmp_path / "m.zip", **{f"m{n}": b"\0" * 200_000 for n in range(5)})
    with pytest.raises(DataError, match="grows"):
        everything(path)


def test_a_truncated_archive_is_damaged(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "t.tar.gz", (tarfile.TarInfo("a"), bytes(range(256)) * 400))
    (tmp_path / "cut.tar.gz").write_bytes(whole.read_bytes()[:-300])
    with pytest.raises(DataError, match="damaged"):
        everything(tmp_path / "cut.tar.gz")


def test_a_flipped_bit_in_a_zip_is_found(tmp_path: Path) -> None:
    path = tmp_path / "f.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive_file:
        archive_file.writestr("a", "hello hello")
    path.write_bytes(path.read_bytes().replace(b"hello hello", b"hellp hello"))
    with pytest.raises(DataError, match="damaged"):
        everything(path)


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file 'b'"), open_member(make_zip(tmp_path / "z.zip", a=b""), "b"):
        pass


def test_patterns_keep_stars_within_folders() -> None:
    pattern = Pattern("x/*/translations/{language}.json", "de")
    assert pattern.match("x/hue/translations/de.json") == ("hue",)
    assert pattern.match("x/hue/more/translations/de.json") is None
    assert pattern.match("x/hue/translations/de_DE.json") is None
    assert Pattern("**/{language}.po", "de").match("a/b/de.po") == ("a/b",)
    assert Pattern("a.b/{language}", "de").match("axb/de") is None


def test_a_damaged_zst_file_is_told_like_any_other_archive(tmp_path: Path) -> None:
    path = tmp_path / "text.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"not what follows this mark")
    with pytest.raises(DataError, match="the archive is damaged"), open_member(path, "") as stream:
        stream.read()
