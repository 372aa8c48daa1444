"""Runs uploaded mods in processes of their own, which can reach nothing but the engine.

One disposable worker for each mod of a request, forked from a zygote and confined by the kernel
before it receives the mod. `confinement/` has the layers, `worker/` what runs in the zygote and in
the workers, `protocol/` what they exchange with the engine; the modules here are the engine's side.
"""
