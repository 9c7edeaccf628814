package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// change is one line of the log.
type change struct {
	Key     string `json:"key"`
	Value   []byte `json:"value,omitempty"`
	Removed bool   `json:"removed,omitempty"`
}

// logFile is the name of the log in the data directory.
const logFile = "carts-db.jsonl"

// wal is the log: one change a line, oldest first. Its file is locked as long
// as it is open.
type wal struct {
	file *os.File
}

// openLog opens or makes the log in dir and calls apply for each change in
// it. A last line without its end was never answered; it is cut off.
func openLog(dir string, apply func(change)) (*wal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	path := filepath.Join(dir, logFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("DATA_DIR: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s is in use by another carts-db (%w); give each a DATA_DIR of its own", path, err)
	}
	l := &wal{file: file}
	if err := l.replay(apply); err != nil {
		file.Close()
		return nil, err
	}
	return l, syncDir(dir)
}

func (l *wal) replay(apply func(change)) error {
	lines, whole := bufio.NewReader(l.file), int64(0)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var c change
		if err == nil {
			err = json.Unmarshal(line, &c)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w; restore the file, or move it away to start empty", l.file.Name(), n, err)
		}
		apply(c)
		whole += int64(len(line))
	}
	if err := l.file.Truncate(whole); err != nil {
		return err
	}
	_, err := l.file.Seek(whole, io.SeekStart)
	return err
}

// append stores c; when it returns nil, c survives a crash.
func (l *wal) append(c change) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	return l.file.Sync()
}

func (l *wal) close() error { return l.file.Close() }

// syncDir makes the log's name in dir survive a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
