package web

import (
	"net/http"
	"strings"

	"github.com/fairwaycd/fairway"
	"github.com/fairwaycd/fairway/api"
)

// commitPage is what the page of a commit shows.
type commitPage struct {
	api.CommitDiff
	Project fairway.ProjectName
	Subject string
	Body    string
	Diffs   []fileDiff
}

type fileDiff struct {
	api.FileDiff
	Lines []diffLine
}

// diffLine is a line of a diff, or the heading of a part of it.
type diffLine struct {
	Class string // added, removed, same, part
	Text  string
}

func (c *console) commit(w http.ResponseWriter, r *http.Request) error {
	project := fairway.ProjectName(r.PathValue("project"))
	d, err := c.backend.CommitDiff(r.Context(), project, r.PathValue("commit"))
	if err != nil {
		return err
	}
	page := commitPage{CommitDiff: d, Project: project}
	page.Subject, page.Body, _ = strings.Cut(strings.TrimSpace(d.Message), "\n")
	page.Body = strings.TrimSpace(page.Body)
	for _, f := range d.Files {
		page.Diffs = append(page.Diffs, fileDiff{f, diffLines(f.Diff)})
	}
	return c.render(w, r, http.StatusOK, "commit", view{Title: page.Subject, Page: page})
}

var diffClasses = map[byte]string{'+': "added", '-': "removed", ' ': "same", '@': "part"}

func diffLines(diff string) []diffLine {
	var out []diffLine
	for line := range strings.Lines(diff) {
		out = append(out, diffLine{diffClasses[line[0]], strings.TrimSuffix(line, "\n")})
	}
	return out
}
