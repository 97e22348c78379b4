"""When a node's mesh begins: with the node, or with the first peer that says hello to it.

A node without peers of its own, without TLS and without a binding has nobody to talk to. It makes
no key and runs no loop for a mesh until somebody who has it for a peer calls.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

    from app.bootstrap.mesh import RunningMesh


class MeshDoor:
    """Opens a mesh once, and closes it with the node."""

    def __init__(
        self,
        stack: AsyncExitStack,
        make: Callable[[], AbstractAsyncContextManager[RunningMesh]],
        joined: Callable[[RunningMesh], None],
    ) -> None:
        """`stack` ends with the node; `joined` is told of the mesh once it runs."""
        self._stack = stack
        self._make = make
        self._joined = joined
        self._opening = asyncio.Lock()
        self.mesh: RunningMesh | None = None
        """None until it is open."""

    async def open(self) -> RunningMesh:
        """The mesh, which runs from now on.

        Raises:
            ConfigRefusedError: the node's key, or a file of trust, cannot be used.
            StoreUnavailableError: the store cannot be read.
        """
        async with self._opening:
            if self.mesh is None:
                # The tasks of the mesh outlive the request that it may begin with.
                entering = self._stack.enter_async_context(self._make())
                mesh = await asyncio.create_task(entering, context=Context())
                self._joined(mesh)
                self.mesh = mesh
            return self.mesh
