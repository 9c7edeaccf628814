package main

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// clock moves the wall clock that one process sees, and it alone. Programs
// read the time from code that the kernel maps into each of them, the vDSO;
// of the process's copy the function is replaced by one that adds an offset to
// CLOCK_REALTIME. As when a real clock is set, CLOCK_MONOTONIC goes on evenly.
type clock struct {
	mem    *os.File
	offset int64 // address of the seconds that are added
}

// moved reads the time from the kernel and adds the eight bytes at its end:
//
//	mov eax, 228 (clock_gettime); syscall
//	test edi, edi (CLOCK_REALTIME is 0); jnz out
//	mov rcx, [rip+offset]; add [rsi], rcx
//	out: ret
var moved = []byte{
	0xb8, 0xe4, 0, 0, 0, 0x0f, 0x05,
	0x85, 0xff, 0x75, 0x0a,
	0x48, 0x8b, 0x0d, 0x04, 0, 0, 0, 0x48, 0x01, 0x0e,
	0xc3,
	0, 0, 0, 0, 0, 0, 0, 0,
}

// takeClock takes hold of the process's clock, without moving it.
func takeClock(pid int) (*clock, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("the clock of a process can be moved on linux/amd64 only")
	}
	begin, end, err := vdso(pid)
	if err != nil {
		return nil, err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	c, err := patch(mem, begin, end)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take the clock of process %d: %w", pid, err), mem.Close())
	}
	return c, nil
}

func patch(mem *os.File, begin, end int64) (*clock, error) {
	image := make([]byte, end-begin)
	if _, err := mem.ReadAt(image, begin); err != nil {
		return nil, err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	var function int64
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			function = int64(s.Value)
		}
	}
	free := (int64(len(bytes.TrimRight(image, "\x00"))) + 31) &^ 15
	if function == 0 || free+int64(len(moved)) > int64(len(image)) {
		return nil, errors.New("its vDSO is not as expected")
	}
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(free-function-5))
	if _, err := mem.WriteAt(moved, begin+free); err != nil {
		return nil, err
	}
	if _, err := mem.WriteAt(jump, begin+function); err != nil {
		return nil, err
	}
	return &clock{mem, begin + free + int64(len(moved)) - 8}, nil
}

// vdso is where the process has the vDSO.
func vdso(pid int) (begin, end int64, err error) {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if strings.HasSuffix(lines.Text(), "[vdso]") {
			_, err := fmt.Sscanf(lines.Text(), "%x-%x", &begin, &end)
			return begin, end, err
		}
	}
	return 0, 0, fmt.Errorf("process %d has no vDSO", pid)
}

// set makes the process's clock differ from the true one by d, whole seconds.
func (c *clock) set(d time.Duration) error {
	_, err := c.mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(int64(d/time.Second))), c.offset)
	return err
}

// clockSteps are how far the clock is from the true one, one after another.
var clockSteps = []time.Duration{time.Hour, 0, -time.Hour, time.Hour, -time.Hour, 0}

// movedClock sets the clock while deliveries go on.
func movedClock(ctx context.Context, h *harness, r *row) error {
	offsets := clockSteps
	if h.o.short {
		offsets = offsets[:3]
	}
	_, err := h.trial(ctx, r, func(ctx context.Context, s *set, done <-chan struct{}) error {
		s.stepped = true
		c, err := s.takeClock()
		if err != nil {
			return err
		}
		defer c.mem.Close()
		for _, d := range offsets {
			select {
			case <-time.After(500*time.Millisecond + time.Duration(h.rnd.Int64N(int64(2*time.Second)))):
			case <-done:
				return nil
			}
			s.witness.fault()
			if err := c.set(d); err != nil {
				return err
			}
			r.times++
		}
		return nil
	})
	return err
}

// takeClock holds the process still meanwhile, so that none of its threads
// comes by the place that is written to.
func (s *set) takeClock() (*clock, error) {
	p := s.now().cmd.Process
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	c, err := takeClock(p.Pid)
	return c, errors.Join(err, p.Signal(syscall.SIGCONT))
}
