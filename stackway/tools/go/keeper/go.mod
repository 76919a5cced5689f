// SPDX-FileCopyrightText: Stackway contributors
// SPDX-License-Identifier: Apache-2.0

module stackway.dev/tools/keeper

go 1.26.3
