package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fairwaycd/fairway"
)

// Programs write to their log files themselves, so that nothing is lost when
// Fairway crashes: logs/DELIVERY/TIME-INSTANCE.log, raw, both streams in the
// order they were written. Lines that begin with logMark are Fairway's own.
const logMark = "fairway: "

// logTimeFormat sorts as text as it does as time.
const logTimeFormat = "20060102T150405.000"

func (o Options) logPath(r record) string {
	return filepath.Join(o.logDir(), fileName(string(r.Workload.Delivery)),
		r.RecordedAt.UTC().Format(logTimeFormat)+"-"+fileName(r.Workload.Instance)+".log")
}

// openLog opens the log for appending, and returns its length.
func openLog(path string) (*os.File, int64, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, 0, fmt.Errorf("make directory of logs: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open log: %w", err), f.Close())
	}
	return f, info.Size(), nil
}

// logTail returns the last lines that the program wrote after offset.
func logTail(path string, offset int64) string {
	const mostBytes, mostLines = 4 << 10, 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from := max(offset, info.Size()-mostBytes)
	b, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, from, mostBytes), mostBytes))
	if err != nil {
		return ""
	}
	if from > offset { // begin with a whole line
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	lines := strings.Split(strings.ToValidUTF8(string(b), "?"), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" || strings.HasPrefix(l, logMark) })
	return strings.Join(lines[max(0, len(lines)-mostLines):], "\n")
}

// followInterval is how often Logs looks for more when it follows.
const followInterval = 100 * time.Millisecond

// Logs implements [fairway.Platform]. The logs of one instance after another
// are copied, oldest instance first; while it follows, new lines come as they
// are written, and so do instances that start later. A delivery without logs
// is KindNotFound, unless follow is set. The end of ctx while it follows is no
// error.
func (p *Platform) Logs(ctx context.Context, d fairway.DeliveryID, w io.Writer, follow bool) error {
	dir := filepath.Join(p.o.logDir(), fileName(string(d)))
	offsets := make(map[string]int64)
	for {
		files, err := filepath.Glob(filepath.Join(dir, "*.log")) // sorted; the names contain no pattern
		if err != nil {
			return fmt.Errorf("list logs: %w", err)
		}
		if len(files) == 0 && !follow {
			return fairway.Errorf(fairway.KindNotFound, "there are no logs of delivery %s: it has started no process here, or they are older than %s", d, p.o.LogRetention)
		}
		for _, path := range files {
			if offsets[path], err = copyLog(w, path, offsets[path], follow && len(files) > 1); err != nil {
				return err
			}
			if !follow && ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		if !follow || !wait(ctx, followInterval) {
			return nil
		}
	}
}

// copyLog copies what the file has after offset and returns the new offset.
// wholeLines leaves the beginning of a line for the next time, so that the
// lines of two files do not mix.
func copyLog(w io.Writer, path string, offset int64, wholeLines bool) (int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // retention was faster
		return offset, nil
	}
	if err != nil {
		return offset, fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := f.ReadAt(buf, offset)
		b := buf[:n]
		if wholeLines {
			// A line longer than the buffer goes out in pieces.
			if i := bytes.LastIndexByte(b, '\n'); i >= 0 || n < len(buf) {
				b = b[:i+1]
			}
		}
		if _, err := w.Write(b); err != nil {
			return offset, fmt.Errorf("copy log: %w", err)
		}
		offset += int64(len(b))
		if err != nil || len(b) == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				return offset, nil
			}
			return offset, fmt.Errorf("read log: %w", err)
		}
	}
}

// dropOldLogs removes the logs that nobody has written to since before and
// that no instance owns.
func (p *Platform) dropOldLogs(before time.Time) error {
	owned := p.ownedLogs()
	dirs, err := filepath.Glob(filepath.Join(p.o.logDir(), "*"))
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	var errs []error
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		errs = append(errs, err)
		left := len(entries)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			info, err := e.Info()
			if err != nil || owned[path] || info.ModTime().After(before) {
				continue
			}
			errs = append(errs, os.Remove(path))
			left--
		}
		if left == 0 {
			// An instance that was applied meanwhile makes it again, or is in
			// time to make this fail.
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrExist) {
				p.log.Debug("directory of logs is in use", "dir", dir, "error", err)
			}
		}
	}
	return errors.Join(errs...)
}

// retainLogs drops old logs now and once an hour until ctx ends.
func (p *Platform) retainLogs(ctx context.Context) {
	for {
		if err := p.dropOldLogs(time.Now().Add(-p.o.LogRetention)); err != nil {
			p.log.Warn("old logs could not be removed; trying again in an hour", "error", err)
		}
		if !wait(ctx, time.Hour) {
			return
		}
	}
}
