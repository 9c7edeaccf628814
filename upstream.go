package fairway

import "time"

// UpstreamCondition is how a project's repository and its upstream stand to
// each other.
type UpstreamCondition string

// The conditions, from good to bad. The upstream's is that of its worst branch.
const (
	UpstreamInStep      UpstreamCondition = "in step"
	UpstreamPending     UpstreamCondition = "not looked at yet"
	UpstreamAhead       UpstreamCondition = "ahead"       // commits of ours are not there yet
	UpstreamBehind      UpstreamCondition = "behind"      // commits of theirs are not here yet
	UpstreamNotTaken    UpstreamCondition = "not taken"   // the remote refuses our commits
	UpstreamRefused     UpstreamCondition = "refused"     // a commit of theirs is not applied
	UpstreamDiverged    UpstreamCondition = "diverged"    // both have commits that the other lacks
	UpstreamUnreachable UpstreamCondition = "unreachable" // the remote does not answer
)

// Worse reports whether c is a worse condition than d.
func (c UpstreamCondition) Worse(d UpstreamCondition) bool { return rank(c) > rank(d) }

func rank(c UpstreamCondition) int {
	for i, x := range []UpstreamCondition{
		UpstreamInStep, UpstreamPending, UpstreamAhead, UpstreamBehind, UpstreamNotTaken, UpstreamRefused, UpstreamDiverged, UpstreamUnreachable,
	} {
		if x == c {
			return i
		}
	}
	return -1
}

// UpstreamState is what is known of a project's upstream. It holds no secret.
type UpstreamState struct {
	URL       string            `json:"url"`
	Condition UpstreamCondition `json:"condition"`
	Since     time.Time         `json:"since"` // of the condition
	// Reason says what is wrong and what helps; it is empty in step.
	Reason   string           `json:"reason,omitempty"`
	Contact  time.Time        `json:"contact,omitzero"` // the remote's last answer
	Branches []UpstreamBranch `json:"branches,omitempty"`
}

// UpstreamBranch is one branch, here and there.
type UpstreamBranch struct {
	Branch    string            `json:"branch"`
	Condition UpstreamCondition `json:"condition"`
	Ours      string            `json:"ours"`
	Theirs    string            `json:"theirs,omitempty"`
	Ahead     int               `json:"ahead,omitempty"` // commits that they lack
	Behind    int               `json:"behind,omitempty"`
	Reason    string            `json:"reason,omitempty"`
}
