package fairway

import (
	"errors"
	"fmt"
	"strings"
)

// Kind classes an error for the edges: HTTP status and exit code are tables
// over it.
type Kind string

// The kinds.
const (
	KindInvalid      Kind = "invalid"      // the user's input is wrong; nothing was changed
	KindNotFound     Kind = "not_found"    // the named thing does not exist
	KindConflict     Kind = "conflict"     // it exists already, or somebody else was first
	KindRefused      Kind = "refused"      // makes no sense in the present state
	KindUnauthorized Kind = "unauthorized" // no or wrong credentials
	KindUnavailable  Kind = "unavailable"  // a part is down; try again
	KindFull         Kind = "full"         // no space; senders are to come back
	KindInternal     Kind = "internal"     // our fault
)

// Problem is one thing wrong with a user's input. Line and Column count from
// one; zero means unknown.
type Problem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Field   string `json:"field,omitempty"`
	Value   string `json:"value,omitempty"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// String prints FILE:LINE:COLUMN: FIELD "VALUE": MESSAGE; REMEDY.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
			if p.Column > 0 {
				fmt.Fprintf(&b, ":%d", p.Column)
			}
		}
		b.WriteString(": ")
	} else if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(" ")
		if p.Value != "" {
			fmt.Fprintf(&b, "%q ", clip(p.Value, 120))
		}
	}
	b.WriteString(p.Message)
	if p.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(p.Remedy)
	}
	return b.String()
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

// Error is a domain error: its text is written for users.
type Error struct {
	Kind     Kind
	Message  string
	Problems []Problem
	Cause    error
}

// Error joins the message and all problems, one a line.
func (e *Error) Error() string {
	var parts []string
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	for _, p := range e.Problems {
		parts = append(parts, p.String())
	}
	if e.Cause != nil {
		parts = append(parts, e.Cause.Error())
	}
	if e.Message != "" && len(e.Problems) == 0 && e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return strings.Join(parts, "\n")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Invalid returns an error of [KindInvalid] with one problem.
func Invalid(field, value, message, remedy string) error {
	return &Error{Kind: KindInvalid, Problems: []Problem{{Field: field, Value: value, Message: message, Remedy: remedy}}}
}

// InvalidAll returns an error of [KindInvalid] with all problems, or nil when
// there are none.
func InvalidAll(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Problems: problems}
}

// Errorf returns an error of the given kind; %w is understood.
func Errorf(kind Kind, format string, args ...any) error {
	wrapped := fmt.Errorf(format, args...)
	return &classed{kind: kind, err: wrapped}
}

type classed struct {
	kind Kind
	err  error
}

func (e *classed) Error() string { return e.err.Error() }
func (e *classed) Unwrap() error { return e.err }

// KindOf returns the kind of the outermost domain error in the tree of err,
// the first of several that were joined, or [KindInternal].
func KindOf(err error) Kind {
	if k, ok := kindOf(err); ok {
		return k
	}
	return KindInternal
}

func kindOf(err error) (Kind, bool) {
	switch e := err.(type) {
	case nil:
		return "", false
	case *Error:
		return e.Kind, true
	case *classed:
		return e.kind, true
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if k, ok := kindOf(part); ok {
				return k, true
			}
		}
		return "", false
	}
	return kindOf(errors.Unwrap(err))
}

// Problems returns every problem in the chain of err.
func Problems(err error) []Problem {
	var e *Error
	if errors.As(err, &e) {
		return e.Problems
	}
	return nil
}

// InFile returns err with the file's name set on each problem that lacks one.
func InFile(file string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Problems = append([]Problem(nil), e.Problems...)
	for i := range c.Problems {
		if c.Problems[i].File == "" {
			c.Problems[i].File = file
		}
	}
	return &c
}

// retryable marks an error that may go away by itself.
type retryable struct{ err error }

func (e *retryable) Error() string { return e.err.Error() }
func (e *retryable) Unwrap() error { return e.err }

// Retryable marks err as one that may go away when the same thing is tried
// again. Every other error is terminal.
func Retryable(err error) error {
	if err == nil {
		return nil
	}
	return &retryable{err}
}

// IsRetryable reports whether err or an error in its chain was marked by
// [Retryable].
func IsRetryable(err error) bool {
	var r *retryable
	return errors.As(err, &r)
}
