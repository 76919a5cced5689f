// SPDX-FileCopyrightText: Stackway contributors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	shortestPause = 200 * time.Millisecond
	longestPause  = 5 * time.Second
	goodLife      = 10 * time.Second
	largestLog    = 32 << 20
)

// Plan says what the world is like. Before a program starts, its need must be met: tcp:ADDRESS or unix:PATH that takes
// connections, or file:PATH that is there.
type Plan struct {
	Hostname string     `json:"hostname"`
	Link     string     `json:"link"`
	Prepare  [][]string `json:"prepare"`
	Status   string     `json:"status"`
	Programs []*Program `json:"programs"`
}

// Program is kept running: when it ends it is started again, after a pause that grows while it does not live long.
type Program struct {
	Name        string            `json:"name"`
	Arguments   []string          `json:"arguments"`
	Environment map[string]string `json:"environment"`
	Log         string            `json:"log"`
	Needs       string            `json:"needs"`

	pid    int
	begun  time.Time
	starts int
	pause  time.Duration
	ended  string
}

type keeper struct {
	plan  Plan
	mutex sync.Mutex
}

func keep(path string) error {
	if os.Getpid() != 1 {
		return errors.New("keep runs in a world of its own: use start")
	}
	gate := os.NewFile(3, "gate")
	if count, _ := gate.Read(make([]byte, 1)); count != 1 {
		return errors.New("whoever started this has ended too early")
	}
	_ = gate.Close()
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	k := &keeper{}
	if err := json.Unmarshal(content, &k.plan); err != nil {
		return err
	}
	if err := k.prepare(); err != nil {
		return err
	}
	for _, program := range k.plan.Programs {
		go k.begin(program)
	}
	k.reap()
	return nil
}

func (k *keeper) prepare() error {
	if err := syscall.Sethostname([]byte(k.plan.Hostname)); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	for !hasLink(k.plan.Link) {
		time.Sleep(5 * time.Millisecond)
	}
	for _, arguments := range k.plan.Prepare {
		if err := run(arguments); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(arguments, " "), err)
		}
	}
	return nil
}

func hasLink(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

func run(arguments []string) error {
	process, err := os.StartProcess(arguments[0], arguments, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	state, err := process.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	return err
}

func (k *keeper) begin(program *Program) {
	for !answers(program.Needs) {
		time.Sleep(20 * time.Millisecond)
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	pid, err := spawn(program)
	if err != nil {
		program.ended = err.Error()
		k.again(program)
	}
	program.pid, program.begun = pid, time.Now()
	program.starts++
	k.tell()
}

func answers(needs string) bool {
	network, address, found := strings.Cut(needs, ":")
	switch {
	case !found:
		return true
	case network == "file":
		_, err := os.Stat(address)
		return err == nil
	}
	connection, err := net.DialTimeout(network, address, time.Second)
	if err == nil {
		_ = connection.Close()
	}
	return err == nil
}

func spawn(program *Program) (int, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if status, err := os.Stat(program.Log); err == nil && status.Size() > largestLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(program.Log, flags, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	environment := os.Environ()
	for name, value := range program.Environment {
		environment = append(environment, name+"="+value)
	}
	return syscall.ForkExec(program.Arguments[0], program.Arguments, &syscall.ProcAttr{
		Dir: "/", Env: environment, Files: []uintptr{0, log.Fd(), log.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
}

// As the first process this inherits every orphan, so it waits for all, not only for what it started.
func (k *keeper) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		k.mutex.Lock()
		for _, program := range k.plan.Programs {
			if program.pid == pid {
				k.over(program, status)
			}
		}
		k.mutex.Unlock()
	}
}

func (k *keeper) over(program *Program, status syscall.WaitStatus) {
	program.pid, program.ended = 0, fmt.Sprintf("exit code %d", status.ExitStatus())
	if status.Signaled() {
		program.ended = fmt.Sprintf("signal %d", status.Signal())
	}
	if time.Since(program.begun) > goodLife {
		program.pause = 0
	}
	k.again(program)
	k.tell()
}

func (k *keeper) again(program *Program) {
	program.pause = min(max(2*program.pause, shortestPause), longestPause)
	time.AfterFunc(program.pause, func() { k.begin(program) })
}

func (k *keeper) tell() {
	status := map[string]any{}
	for _, program := range k.plan.Programs {
		status[program.Name] = map[string]any{
			"pid": program.pid, "begun": program.begun.Unix(), "starts": program.starts, "ended": program.ended,
		}
	}
	if err := write(k.plan.Status, status); err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
	}
}
