# What continuous integration does, for people. See CONTRIBUTING.md.
.PHONY: build check lint test race demo bench bench-size fuzz faults soak e2e

build:
	go build -o bin/fairway ./cmd/fairway

# All that .ci/run does.
check:
	bash .ci/run

lint:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

test:
	go test ./...

race:
	go test -race -shuffle=on ./...

demo:
	go run ./cmd/fairway demo

# Figures for docs/performance.md. The machine should do nothing else.
bench:
	go test -run xxx -bench Deliveries -benchtime 500x ./controller ./project
	go test -run xxx -bench NextAction -benchtime 200x ./controller
	go test -run xxx -bench . -benchtime 5x ./gateway
	go test -run xxx -bench . ./git
	go test -run xxx -bench 'Start|Idle' ./app
	go test -run xxx -bench Plan ./project
	go test -run xxx -bench Judge ./quality
	go test -run xxx -bench Burst -benchtime 1x -timeout 20m ./app

# What 10 000 services and 100 000 ended deliveries cost; takes some minutes and
# 300 MB of disk. FAIRWAY_SIZE_DIR=DIR keeps the directory for the next time.
bench-size:
	go test -run xxx -bench Size -benchtime 1x -timeout 60m ./app

# Each fuzz test for a while: make fuzz TIME=10m
TIME ?= 10s
fuzz:
	@go list ./... | while read -r pkg; do \
	  go test -list '^Fuzz' "$$pkg" | grep '^Fuzz' | while read -r f; do \
	    echo "$$pkg $$f"; go test -run xxx -fuzz "^$$f$$" -fuzztime $(TIME) "$$pkg" || exit 1; done || exit 1; done

# Deliver for a while, and tell whether anything grows: make soak FOR=1h
FOR ?= 1h
soak:
	go run ./internal/soak --for $(FOR)

# Kill it everywhere and compare; see docs/reliability.md.
faults:
	go run ./internal/faults --markdown docs/reliability.md
	go test -race -count=1 -v -run 'Crash|Killed|Interrupted|Lost|SecondDecider|RandomHistories' ./sequence ./controller ./git ./process ./cmd/fairway | grep -E '^(---|ok|FAIL|panic)'

# The tests on a real cluster: brings one up, and down again if it did. See
# e2e/README.md. It needs root, and a quarter of an hour the first time.
e2e:
	cd e2e && go run ./cmd/cluster test
