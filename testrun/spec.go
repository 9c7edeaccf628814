package testrun

import "time"

// Paths of the files that describe a service's tests, within the service's
// directory.
const (
	FunctionalFile  = "tests/functional.yaml"
	PerformanceFile = "tests/performance.yaml"
)

// Defaults of the keys that a file leaves out.
const (
	DefaultHealthPath = "/health"
	DefaultTimeout    = 30 * time.Second
	DefaultUsers      = 10
	DefaultIterations = 500
	DefaultThink      = 250 * time.Millisecond
	DefaultRampUp     = time.Second
	DefaultErrors     = 0.01
	// DefaultProgramTimeout is how long a test program may run; the step of a
	// delivery has an hour.
	DefaultProgramTimeout = 30 * time.Minute
	maxProgramTimeout     = 55 * time.Minute
)

// Functional is the content of tests/functional.yaml: requests that are sent
// once each, in order, or a program that does the testing.
type Functional struct {
	Requests []Call
	Program
}

// Program is a test that another program performs. At most one of its two
// ways is set.
type Program struct {
	Command []string      // program and arguments, run among the service's files
	JMeter  string        // path of a JMeter script, e.g. jmeter/carts_load.jmx
	Timeout time.Duration // after which the program is ended
}

func (p Program) any() bool { return p.JMeter != "" || len(p.Command) > 0 }

// Performance is the content of tests/performance.yaml.
type Performance struct {
	Program
	Users int // who send requests at the same time, 1 to 1000
	// Iterations is how often each user sends the whole list; 0 when
	// Duration says how long they do.
	Iterations int
	Duration   time.Duration // from the first user's start; 0 when Iterations says
	Think      time.Duration // between an answer and the same user's next request
	RampUp     time.Duration // over which the users' starts are spread evenly
	Requests   []Call
	Limits     Limits
}

// planned returns how many requests the test will send, or 0 when its
// duration decides.
func (p Performance) planned() int { return p.Users * p.Iterations * len(p.Requests) }

// Limits are what a performance test must keep to. A latency of 0 is no
// limit.
type Limits struct {
	Errors float64 // largest share of failed requests, 0 to 1
	Mean   time.Duration
	P50    time.Duration
	P90    time.Duration
	P95    time.Duration
	P99    time.Duration
	Max    time.Duration
}

// Call is one request and what its answer must look like.
type Call struct {
	Name    string // for people; METHOD PATH when the file gives none
	Method  string
	Path    string            // with query, starting with a slash
	Headers map[string]string // canonical names
	Body    string
	Timeout time.Duration // until the whole answer has been read
	Expect  Expect
}

// title names the call in texts.
func (c Call) title() string {
	line := c.Method + " " + c.Path
	if c.Name == line {
		return line
	}
	return c.Name + " (" + line + ")"
}

// Expect is what an answer must look like. Zero values ask nothing, except
// that without a Status the answer must be a 2xx. Redirects are not followed.
type Expect struct {
	Status   int
	JSON     []Member
	Headers  map[string]string // canonical names; one of the header's values must be equal
	Contains string            // somewhere in the body
	Within   time.Duration     // from sending to the last byte of the answer
}

// needsBody reports whether the answer's body has to be kept.
func (e Expect) needsBody() bool { return len(e.JSON) > 0 || e.Contains != "" }

// Member is an expected value within a JSON document.
type Member struct {
	Pointer string // RFC 6901
	Value   any    // string, bool, nil or [encoding/json.Number]
}
