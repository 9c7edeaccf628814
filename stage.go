package fairway

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Shipyard is a project's delivery plan: where its images come from and the
// stages in promotion order.
type Shipyard struct {
	// Registry is the path part of image names that belong to the project:
	// HOST/REGISTRY/SERVICE:TAG. It defaults to the project's name.
	Registry string `json:"registry,omitempty" yaml:"registry"`
	// Tags limits which pushed tags start a delivery: shell patterns
	// (path.Match). Default: every tag but latest.
	Tags   []string `json:"tags,omitempty" yaml:"tags,omitempty"`
	Stages []Stage  `json:"stages" yaml:"stages"`
}

// DeploymentStrategy says how a new version gets its place in a stage.
type DeploymentStrategy string

// The deployment strategies.
const (
	Direct    DeploymentStrategy = "direct"
	BlueGreen DeploymentStrategy = "blue_green_service"
)

// TestStrategy says which tests a stage runs. The empty strategy runs none.
type TestStrategy string

// The test strategies.
const (
	NoTests          TestStrategy = ""
	FunctionalTests  TestStrategy = "functional"
	PerformanceTests TestStrategy = "performance"
)

// GatePolicy says whether a stage asks the quality gate.
type GatePolicy string

// The gate policies. The default is optional where the test strategy is
// performance, and off elsewhere.
const (
	GateRequired GatePolicy = "required"
	GateOptional GatePolicy = "optional"
	GateOff      GatePolicy = "off"
)

// ReleaseOrder says whether traffic moves after the proof or before it.
type ReleaseOrder string

// The release orders.
const (
	ReleaseAfterGate   ReleaseOrder = "after_gate"
	ReleaseBeforeTests ReleaseOrder = "before_tests"
)

// Approval says whether a person has to agree before traffic moves.
type Approval string

// The approvals.
const (
	ApprovalNone   Approval = "none"
	ApprovalManual Approval = "manual"
)

// OnFailure says what becomes of a direct stage whose new version failed.
type OnFailure string

// The reactions to a failure.
const (
	OnFailureRollback OnFailure = "rollback"
	OnFailureKeep     OnFailure = "keep"
)

// OnWarning says what a gate's warning leads to.
type OnWarning string

// The reactions to a warning.
const (
	OnWarningPromote OnWarning = "promote"
	OnWarningApprove OnWarning = "approve"
	OnWarningStop    OnWarning = "stop"
)

// Supersede says which waiting deliveries a newer artifact replaces.
type Supersede string

// The supersede policies. Queued, the default, replaces what waits for the
// stage; always also replaces what waits for a person; never replaces nothing.
const (
	SupersedeQueued Supersede = "queued"
	SupersedeAlways Supersede = "always"
	SupersedeNever  Supersede = "never"
)

// Stage is one step of the promotion order. The zero value of each optional
// field means its default; [Stage.WithDefaults] makes them visible.
type Stage struct {
	Name               StageName          `json:"name" yaml:"name"`
	Namespace          Namespace          `json:"namespace,omitempty" yaml:"namespace,omitempty"`
	DeploymentStrategy DeploymentStrategy `json:"deployment_strategy,omitempty" yaml:"deployment_strategy,omitempty"`
	TestStrategy       TestStrategy       `json:"test_strategy,omitempty" yaml:"test_strategy,omitempty"`
	Gate               GatePolicy         `json:"gate,omitempty" yaml:"gate,omitempty"`
	Release            ReleaseOrder       `json:"release,omitempty" yaml:"release,omitempty"`
	Approval           Approval           `json:"approval,omitempty" yaml:"approval,omitempty"`
	OnFailure          OnFailure          `json:"on_failure,omitempty" yaml:"on_failure,omitempty"`
	OnWarning          OnWarning          `json:"on_warning,omitempty" yaml:"on_warning,omitempty"`
	Previous           Previous           `json:"previous,omitempty" yaml:"previous,omitempty"`
	Supersede          Supersede          `json:"supersede,omitempty" yaml:"supersede,omitempty"`
}

// Previous says how long the version that lost its traffic keeps running:
// "keep" (until its colour is needed, the default), "0" (stopped at once) or
// a duration such as "30m".
type Previous string

// PreviousKeep keeps the previous version until its colour is needed.
const PreviousKeep Previous = "keep"

// Duration returns how long the previous version runs on; keep is true when
// it runs until its colour is needed.
func (p Previous) Duration() (d time.Duration, keep bool, err error) {
	switch p {
	case "", PreviousKeep:
		return 0, true, nil
	case "0":
		return 0, false, nil
	}
	d, err = time.ParseDuration(string(p))
	if err != nil || d < 0 {
		return 0, false, Invalid("previous", string(p), "is neither keep, 0 nor a duration", "write keep, 0 or a duration such as 30m")
	}
	return d, false, nil
}

// WithDefaults returns the stage with every default filled in.
func (s Stage) WithDefaults() Stage {
	setDefault(&s.Namespace, Namespace(s.Name))
	setDefault(&s.DeploymentStrategy, Direct)
	if s.TestStrategy == PerformanceTests {
		setDefault(&s.Gate, GateOptional)
	}
	setDefault(&s.Gate, GateOff)
	setDefault(&s.Release, ReleaseAfterGate)
	setDefault(&s.Approval, ApprovalNone)
	setDefault(&s.OnFailure, OnFailureRollback)
	setDefault(&s.OnWarning, OnWarningPromote)
	setDefault(&s.Previous, PreviousKeep)
	setDefault(&s.Supersede, SupersedeQueued)
	return s
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Colours returns the places that the stage's strategy has.
func (s Stage) Colours() []Colour {
	if s.DeploymentStrategy == BlueGreen {
		return []Colour{Blue, Green}
	}
	return []Colour{Single}
}

// Allowed returns the values that each enumerated key of a stage may have.
func Allowed() map[string][]string {
	return map[string][]string{
		"deployment_strategy": {string(Direct), string(BlueGreen)},
		"test_strategy":       {string(FunctionalTests), string(PerformanceTests), ""},
		"gate":                {string(GateRequired), string(GateOptional), string(GateOff)},
		"release":             {string(ReleaseAfterGate), string(ReleaseBeforeTests)},
		"approval":            {string(ApprovalNone), string(ApprovalManual)},
		"on_failure":          {string(OnFailureRollback), string(OnFailureKeep)},
		"on_warning":          {string(OnWarningPromote), string(OnWarningApprove), string(OnWarningStop)},
		"supersede":           {string(SupersedeQueued), string(SupersedeAlways), string(SupersedeNever)},
	}
}

// Stage returns the stage of that name and its position.
func (y Shipyard) Stage(name StageName) (Stage, int, bool) {
	for i, s := range y.Stages {
		if s.Name == name {
			return s.WithDefaults(), i, true
		}
	}
	return Stage{}, 0, false
}

// Names returns the stages' names in promotion order.
func (y Shipyard) Names() []StageName {
	names := make([]StageName, len(y.Stages))
	for i, s := range y.Stages {
		names[i] = s.Name
	}
	return names
}

// StageNames returns the names in promotion order, joined for a message.
func (y Shipyard) StageNames() string {
	names := make([]string, len(y.Stages))
	for i, s := range y.Stages {
		names[i] = string(s.Name)
	}
	return strings.Join(names, ", ")
}

// Validate checks what cannot be seen in a single value: at least one stage,
// unique names and namespaces, and combinations that make no sense. Fields
// are named stages[N].KEY. Values of enumerated keys are checked too.
func (y Shipyard) Validate() error {
	var ps []Problem
	if len(y.Stages) == 0 {
		ps = append(ps, Problem{Field: "stages", Message: "is empty", Remedy: "list at least one stage with a name"})
	}
	names, spaces := map[StageName]int{}, map[Namespace]int{}
	for i, s := range y.Stages {
		at := "stages[" + strconv.Itoa(i) + "]."
		add := func(err error) {
			for _, p := range Problems(err) {
				ps = append(ps, Problem{Field: at + strings.TrimPrefix(p.Field, "stage."), Value: p.Value, Message: p.Message, Remedy: p.Remedy})
			}
		}
		if err := s.Name.Validate(); err != nil {
			p := Problems(err)[0]
			p.Field = at + "name"
			ps = append(ps, p)
		}
		d := s.WithDefaults()
		add(d.Namespace.Validate())
		add(d.validateValues())
		if j, ok := names[s.Name]; ok {
			ps = append(ps, Problem{Field: at + "name", Value: string(s.Name), Message: fmt.Sprintf("is the name of stages[%d] too", j), Remedy: "give each stage a name of its own"})
		}
		if j, ok := spaces[d.Namespace]; ok {
			ps = append(ps, Problem{Field: at + "namespace", Value: string(d.Namespace), Message: fmt.Sprintf("is the namespace of stages[%d] too", j), Remedy: "give each stage a namespace of its own"})
		}
		names[s.Name], spaces[d.Namespace] = i, i
	}
	return InvalidAll(ps)
}

func (s Stage) validateValues() error {
	var ps []Problem
	allowed := Allowed()
	check := func(key, value string) {
		for _, v := range allowed[key] {
			if v == value {
				return
			}
		}
		var named []string
		for _, v := range allowed[key] {
			if v != "" {
				named = append(named, v)
			}
		}
		ps = append(ps, Problem{Field: key, Value: value, Message: "is not a value of this key", Remedy: "use one of " + strings.Join(named, ", ")})
	}
	check("deployment_strategy", string(s.DeploymentStrategy))
	check("test_strategy", string(s.TestStrategy))
	check("gate", string(s.Gate))
	check("release", string(s.Release))
	check("approval", string(s.Approval))
	check("on_failure", string(s.OnFailure))
	check("on_warning", string(s.OnWarning))
	check("supersede", string(s.Supersede))
	if _, _, err := s.Previous.Duration(); err != nil {
		ps = append(ps, Problems(err)...)
	}
	if s.Gate != GateOff && s.TestStrategy == NoTests {
		ps = append(ps, Problem{Field: "gate", Value: string(s.Gate), Message: "needs a test whose time window it can judge", Remedy: "set test_strategy, or gate: off"})
	}
	if s.DeploymentStrategy == Direct && s.Release == ReleaseBeforeTests {
		ps = append(ps, Problem{Field: "release", Value: string(s.Release), Message: "has no meaning in a direct stage, where the new version replaces the old one before the tests anyway", Remedy: "remove it, or use deployment_strategy: blue_green_service"})
	}
	return InvalidAll(ps)
}
