# Sourced from the repository root: installs the training's environment under target/ and sets $python.
venv=target/train-venv
if [ ! -e "$venv/installed" ] || ! cmp -s tools/train/requirements.txt "$venv/installed"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement tools/train/requirements.txt
    cp tools/train/requirements.txt "$venv/installed"
fi
python=$venv/bin/python
