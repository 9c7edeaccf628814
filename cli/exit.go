package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairwaycd/fairway"
)

// The exit codes; [ExitCodes] says what they mean.
const (
	ExitOK         = 0
	ExitFailed     = 1
	ExitInvalid    = 2
	ExitRejected   = 3
	ExitWarned     = 4
	ExitSuperseded = 5
	ExitTimeout    = 6
)

// ExitCode is a row of the table of exit codes.
type ExitCode struct {
	Code    int
	Meaning string
}

// ExitCodes returns the table that all commands keep to.
func ExitCodes() []ExitCode {
	return []ExitCode{
		{ExitOK, "done; a delivery that was waited for reached its end"},
		{ExitFailed, "error: something broke, or is not there to answer"},
		{ExitInvalid, "bad input: the command line, a file or a name; nothing was changed"},
		{ExitRejected, "the delivery was turned away by a test, a gate or a person"},
		{ExitWarned, "the delivery reached its end, with a gate's warning on the way"},
		{ExitSuperseded, "the delivery was superseded by a newer one, or aborted"},
		{ExitTimeout, "--timeout was reached; what was waited for goes on"},
	}
}

// byStatus is the exit code of a delivery that has ended.
var byStatus = map[fairway.DeliveryStatus]int{
	fairway.StatusFinished:   ExitOK,
	fairway.StatusFailed:     ExitFailed,
	fairway.StatusRejected:   ExitRejected,
	fairway.StatusSuperseded: ExitSuperseded,
	fairway.StatusAborted:    ExitSuperseded,
}

// byKind is the exit code of an error; kinds that are missing are ExitFailed.
var byKind = map[fairway.Kind]int{
	fairway.KindInvalid:  ExitInvalid,
	fairway.KindNotFound: ExitInvalid,
}

// nextStep is what to do about an error that says nothing of it itself.
var nextStep = map[fairway.Kind]string{
	fairway.KindUnauthorized: "name the server's data directory with --data, or give its token with --token or FAIRWAY_TOKEN",
	fairway.KindUnavailable:  "where it runs is named with --server or FAIRWAY_SERVER",
	fairway.KindFull:         "make space where Fairway's data directory lies, then try again",
	fairway.KindInternal:     "see Fairway's log, and `fairway get status`",
}

// ExitError is an error with the exit code that it leads to. Err may be nil
// when everything has been said already.
type ExitError struct {
	Code int
	Err  error

	usage bool // the command line was not understood
}

// Error returns the text of Err.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// exitCode returns the code that an error leads to.
func exitCode(err error) int {
	var e *ExitError
	if errors.As(err, &e) {
		return e.Code
	}
	if code, ok := byKind[fairway.KindOf(err)]; ok {
		return code
	}
	return ExitFailed
}

// errInterrupted stands for what became of a call that Ctrl-C ended.
var errInterrupted = errors.New("interrupted")

// report prints the error and returns its exit code.
func (c *cli) report(cmd *cobra.Command, err error) int {
	code := exitCode(err)
	var e *ExitError
	if errors.As(err, &e) {
		if e.Err == nil {
			return code
		}
		err = e.Err
	}
	if errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	printError(c.Stderr, err)
	var usage *usageFault
	if errors.As(err, &usage) || e != nil && e.usage {
		fmt.Fprintf(c.Stderr, "see `%s --help`\n", cmd.CommandPath())
	} else if step := nextStep[fairway.KindOf(err)]; step != "" && e == nil && err != errInterrupted {
		fmt.Fprintln(c.Stderr, step)
	}
	return code
}

// printError prints problems one a line, in the form that editors jump to,
// and any other error as one sentence.
func printError(w io.Writer, err error) {
	var e *fairway.Error
	if !errors.As(err, &e) || len(e.Problems) == 0 {
		fmt.Fprintln(w, "error:", strings.TrimSpace(err.Error()))
		return
	}
	if e.Message != "" {
		fmt.Fprintln(w, "error:", e.Message)
	}
	for _, p := range e.Problems {
		fmt.Fprintln(w, p.String())
	}
}

// usageFault marks an error in the command line itself, as opposed to one in
// what it names.
type usageFault struct{ err error }

func (e *usageFault) Error() string { return e.err.Error() }
func (e *usageFault) Unwrap() error { return e.err }

func usageError(err error) error {
	return &ExitError{Code: ExitInvalid, Err: &usageFault{err}}
}

func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("The exit code of every command:\n\n")
	for _, e := range ExitCodes() {
		fmt.Fprintf(&b, "  %d  %s\n", e.Code, e.Meaning)
	}
	b.WriteString("\nCodes 3 to 5 come from commands that follow a delivery: those with --wait, and `fairway watch DELIVERY`.")
	return &cobra.Command{
		Use:     "exit-codes",
		Short:   "What the exit codes mean",
		Long:    b.String(),
		Example: example("fairway send event new-artifact --project sockshop --service carts --image 127.0.0.1:8080/sockshop/carts:0.6.0-1 --wait; echo $?"),
	}
}
