// SPDX-FileCopyrightText: Stackway contributors
// SPDX-License-Identifier: Apache-2.0

// Keeper is the first process of a small world of its own: it has the process ids, mounts, links, names and memory
// segments that it makes, and when it ends the kernel ends and removes all of them. In there it keeps programs running.
//
//	keeper start PLAN RECORD LOG   begin such a world; RECORD says which process it is before anything else happens
//	keeper keep PLAN               what `start` runs inside
//	keeper                         wait for a signal: the one process of a pod's sandbox
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// Set when it is linked.
var version = "unknown"

const world = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

func main() {
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 0:
		pause()
	case len(arguments) == 1 && arguments[0] == "--version":
		fmt.Println("keeper", version)
	case len(arguments) == 4 && arguments[0] == "start":
		end(start(arguments[1], arguments[2], arguments[3]))
	case len(arguments) == 2 && arguments[0] == "keep":
		end(keep(arguments[1]))
	default:
		end(fmt.Errorf("usage: keeper [start PLAN RECORD LOG|keep PLAN|--version]"))
	}
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "keeper:", err)
		os.Exit(1)
	}
}

// The children of a pod's other containers come here when their parents have ended.
func pause() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}

// Begin the world. The child waits on a pipe for one byte, which comes when RECORD is written: whoever kills this in
// between leaves nothing that nobody knows of.
func start(plan, record, log string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	gate, opener, err := os.Pipe()
	if err != nil {
		return err
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	process, err := os.StartProcess(self, []string{"keeper", "keep", plan}, &os.ProcAttr{
		Dir:   "/",
		Files: []*os.File{nothing, output, output, gate},
		Sys:   &syscall.SysProcAttr{Cloneflags: world, Setsid: true},
	})
	if err != nil {
		return err
	}
	if err := identify(process.Pid, record); err != nil {
		_ = process.Kill()
		return err
	}
	_, err = opener.Write([]byte{1})
	return err
}

// A pid alone may be another process's tomorrow; with its start and the boot it is not.
func identify(pid int, record string) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
	return write(record, map[string]any{"pid": pid, "started": fields[19], "boot": strings.TrimSpace(string(boot))})
}

func write(path string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
