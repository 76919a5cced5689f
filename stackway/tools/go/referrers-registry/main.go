// SPDX-FileCopyrightText: Stackway contributors
// SPDX-License-Identifier: Apache-2.0

// Referrers-registry is a registry with the referrers API of OCI distribution 1.1, for tests. It keeps all in memory.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

// Set when it is linked.
var version = "unknown"

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: referrers-registry ADDRESS|--version")
	}
	if os.Args[1] == "--version" {
		fmt.Println("referrers-registry", version)
		return
	}
	server := &http.Server{
		Addr:              os.Args[1],
		Handler:           ociserver.New(ocimem.New(), nil),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}
