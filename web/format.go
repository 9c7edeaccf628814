package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// span writes a duration with two units at most.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", math.Floor(d.Seconds()*10)/10)
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// ago writes how long ago something was, roughly.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// short writes how long something has been, roughly, in as little room as can
// be.
func short(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// stamp writes an instant to the second.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// number writes a number with as many digits as tell something.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) || v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

// share writes a weight; none is a dash.
func share(w fairway.Weights, c fairway.Colour) string {
	if w == nil {
		return "–"
	}
	return strconv.Itoa(w[c]) + " %"
}

// words makes an identifier readable.
func words(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") }

var stepNames = map[fairway.Step]string{
	fairway.StepQueue: "waiting for the stage", fairway.StepConfigure: "configure", fairway.StepDeploy: "deploy",
	fairway.StepTest: "test", fairway.StepEvaluate: "evaluate", fairway.StepApprove: "waiting for approval",
	fairway.StepRelease: "release", fairway.StepRollback: "roll back", fairway.StepRetire: "retire the previous version", fairway.StepDone: "done",
}

func stepName(s fairway.Step) string {
	if n, ok := stepNames[s]; ok {
		return n
	}
	return string(s)
}
