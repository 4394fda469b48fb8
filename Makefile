# One spelling of each command. The README's two work without make.
python = .venv/bin/python

.PHONY: setup serve check test docs train evaluate bench prove-service prove-relabel prove-latency \
	prove-poison bench-retrain

setup:
	sh setup.sh dev

serve: setup
	$(python) -m service serve

check: setup
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	.venv/bin/hadolint Dockerfile

test: setup
	$(python) -m pytest

docs: setup
	$(python) -m docs.reference
	$(python) -m docs.api
	$(python) -m docs.proofs
	$(python) -m docs.performance

train: setup
	$(python) -m training train --output model/artifact

evaluate: setup
	$(python) -m training evaluate

# With the rows of 10 million reports, half an hour and 6 GB of disk more: make bench sizes=--large
bench: setup
	$(python) -m benchmarks.bench $(sizes)
	$(python) -m docs.performance

prove-service: setup
	$(python) -m benchmarks.prove_service
	$(python) -m docs.proofs

# Half an hour and 2 GB of disk; smaller: make prove-relabel sizes="--rows 200000 --kills 30"
prove-relabel: setup
	$(python) -m benchmarks.prove_relabel $(sizes)

prove-latency: setup
	$(python) -m benchmarks.relabel_latency

prove-poison: setup
	$(python) -m benchmarks.prove_poison

bench-retrain: setup
	$(python) -m benchmarks.retrain
