package sequence

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/fairwaycd/fairway"
)

// Input is something that happened and has to be decided. Exactly one of the
// pointers is set.
type Input struct {
	// Seq is the input's sequence in the queue; 0 for inputs that are not
	// queued because they can be made again from the state (results, timers,
	// restarts).
	Seq      uint64    `json:"-"`
	Artifact *Artifact `json:"artifact,omitempty"`
	Onboard  *Onboard  `json:"onboard,omitempty"`
	Command  *Command  `json:"command,omitempty"`
	Pushed   *Pushed   `json:"pushed,omitempty"`
	// Foreign is an event that decides nothing; it is stored and shown.
	Foreign *fairway.Event `json:"foreign,omitempty"`
	Result  *Result        `json:"result,omitempty"`
	Timer   *Timer         `json:"timer,omitempty"`
	Restart *Restart       `json:"restart,omitempty"`
}

// Artifact asks for a delivery.
type Artifact struct {
	Source   string             `json:"source"` // of the CloudEvent
	EventID  string             `json:"eventId"`
	Context  fairway.DeliveryID `json:"context,omitempty"` // sender's correlation id
	Artifact fairway.Artifact   `json:"artifact"`
	Pushed   bool               `json:"pushed,omitempty"` // by a registry: identity is image, tag and digest
	// Elsewhere says that the registry is not Fairway's own, so that its host
	// counts.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Known says that a delivery of it exists that the state may have
	// forgotten: a pushed tag was seen with this digest, or the log holds the
	// delivery of the event.
	Known bool   `json:"known,omitempty"`
	Actor string `json:"actor,omitempty"`
	// From is the stage to start at; empty means the first one. Only ends the
	// delivery with it.
	From fairway.StageName `json:"from,omitempty"`
	Only bool              `json:"only,omitempty"`
	// Carried is the configuration that it brings along.
	Carried *fairway.Carried `json:"carried,omitempty"`
	// Plan is filled in by the decider from the project's shipyard: it holds
	// for the whole delivery.
	Plan []fairway.Stage `json:"-"`
	// PlanError says why there is no plan.
	PlanError string `json:"-"`
}

// Onboard makes the service known.
type Onboard struct {
	Actor  string `json:"actor,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Resources is true when only files were added to a service that is known.
	Resources bool   `json:"resources,omitempty"`
	Note      string `json:"note,omitempty"`
}

// Verb is what a person asks of a delivery.
type Verb string

// The verbs.
const (
	Approve Verb = "approve"
	Reject  Verb = "reject"
	Abort   Verb = "abort"
	Pause   Verb = "pause"
	Resume  Verb = "resume"
	// SetRoute and Rollback are about a stage, not a delivery.
	SetRoute Verb = "route"
	Rollback Verb = "rollback"
	// Remove is about the whole service, or project (see [WholeProject]).
	Remove Verb = "remove"
)

// Command is a person's word on a delivery.
type Command struct {
	Verb     Verb               `json:"verb"`
	Delivery fairway.DeliveryID `json:"delivery"`
	Actor    string             `json:"actor"`
	Reason   string             `json:"reason"`
	Stage    fairway.StageName  `json:"stage,omitempty"`
	Weights  fairway.Weights    `json:"weights,omitempty"` // SetRoute: the split to reach
	Force    bool               `json:"force,omitempty"`   // SetRoute: also for a version that was turned away
	To       string             `json:"to,omitempty"`      // Rollback: tag; empty means the previous version
	Request  string             `json:"request,omitempty"` // Rollback: id by which a repetition is known
	Commit   string             `json:"commit,omitempty"`  // SetRoute: that says the weights, where they were pushed
	Check    bool               `json:"check,omitempty"`   // SetRoute: only say whether it makes sense
	// Keep: what runs goes on, and keeps its traffic. Repository is where the
	// service's images are pushed to, to tell who pushes there later.
	Keep       bool   `json:"keep,omitempty"`
	Repository string `json:"repository,omitempty"`
}

// Result is what came of an effect.
type Result struct {
	Key     string `json:"key"` // of the effect
	OK      bool   `json:"ok"`
	Refused bool   `json:"refused,omitempty"` // not OK because the version was found wanting, not because something broke
	Reason  string `json:"reason"`

	Commit     string          `json:"commit,omitempty"`
	Digest     string          `json:"digest,omitempty"`
	Instance   string          `json:"instance,omitempty"`
	Window     *fairway.Window `json:"window,omitempty"`
	Verdict    fairway.Verdict `json:"verdict,omitempty"`
	Score      *float64        `json:"score,omitempty"`
	Evaluation string          `json:"evaluation,omitempty"`
	Weights    fairway.Weights `json:"weights,omitempty"`
	Cut        int             `json:"cut,omitempty"` // requests cut off by a drain's limit
	Detail     []byte          `json:"detail,omitempty"`
}

// Timer says that a deadline has passed.
type Timer struct {
	Key string `json:"key"`
	// Cause is what kept the step from finishing so far, if it is known.
	Cause string `json:"cause,omitempty"`
}

// Restart says that the process was started anew and effects under way were
// interrupted.
type Restart struct {
	Epoch uint64 `json:"epoch"`
	// Cause, when set, says that instead the process goes on and time did not
	// pass evenly: limits that were reckoned by the old clock hold no more, and
	// a test's samples do not lie in one row. It is a sentence without its end.
	Cause string `json:"cause,omitempty"`
}

func (r *Restart) what() string {
	if r.Cause != "" {
		return r.Cause
	}
	return "Fairway was restarted"
}

// Limits of the steps. A step that takes longer has failed.
const (
	ConfigureLimit = 2 * time.Minute
	DeployLimit    = 5 * time.Minute
	TestLimit      = 60 * time.Minute
	EvaluateLimit  = 10 * time.Minute
	ReleaseLimit   = 2 * time.Minute
	RollbackLimit  = 10 * time.Minute
	RetireLimit    = 10 * time.Minute
)

func limit(s fairway.Step) time.Duration {
	switch s {
	case fairway.StepConfigure:
		return ConfigureLimit
	case fairway.StepDeploy:
		return DeployLimit
	case fairway.StepTest:
		return TestLimit
	case fairway.StepEvaluate:
		return EvaluateLimit
	case fairway.StepRelease, fairway.StepRoute:
		return ReleaseLimit
	case fairway.StepRollback:
		return RollbackLimit
	}
	return RetireLimit
}

// NewID derives a delivery's id from what makes its trigger unique. It has
// the form of a UUID (RFC 9562, version 8), since tools of the field expect
// one.
func NewID(project fairway.ProjectName, service fairway.ServiceName, parts ...string) fairway.DeliveryID {
	h := sha256.New()
	for _, p := range append([]string{string(project), string(service)}, parts...) {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	b := h.Sum(nil)[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return fairway.DeliveryID(s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:])
}
