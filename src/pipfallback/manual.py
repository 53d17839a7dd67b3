"""The texts of ``--help``."""

HELP = """\
Usage: pipfallback install [pip's options] REQUIREMENT...
       pipfallback COMMAND ...

pip install that does not stop at the first wheel that will not do: where pip refuses a wheel, cannot get it,
or installs one that does not import, the other builds of that package are tried, best first.

Commands:
  install              as pip install, with the fallback; see pipfallback install --help
  plan REQUIREMENT...  what would be tried, in order, and why the rest not
  explain WHEEL|URL... why this wheel does or does not fit here
  env                  the environment as it is seen
  verify [NAME...]     whether what is installed works
  any other            is pip's

Options:
  --python PATH        the interpreter to install for (default: the active one)
  --version            the version of pipfallback
  -h, --help           this text
"""

INSTALL_HELP = """\
Usage: pipfallback install [options] REQUIREMENT...

pipfallback's own options; each can also be given as PIPFALLBACK_NAME:
  --python PATH           the interpreter to install for: a program, a venv folder, a name on PATH
  --fallbacks FILE        a fallbacks.toml to use besides the built-in one (repeatable)
  --no-fallback           only check that what pip installs imports
  --verify | --no-verify  import what was installed (the default), or do not
  --verify-timeout S      give up on an import after S seconds (120)
  --trust-level LEVEL     whose builds to take: official, vendor (default) or community
  --same-version          no other version than that of the wheel asked for
  --max-attempts N        builds to try (5)
  --fail-on-fallback      fail where the command itself would not have worked
  --allow-build           let pip build a package of the catalog from source
  --keep-torch            never let pip change the installed torch, even where no build fits it
  --allow-torch-change    let pip change the installed torch at once
  --gpu CC[,CC]           the GPUs of the machine that will run it, as compute capabilities (8.9,9.0)
  --driver-cuda VERSION   the newest CUDA that its driver supports (12.8)
  --no-peek               do not read parts of remote wheels before one is chosen
  --installer pip         what installs: this version knows pip only
  --outcome FILE          write what happened as JSON
  --explain               show the builds that were considered

All options of pip install follow.
"""
