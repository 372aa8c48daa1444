"""`python -m concordance_inference.bench`: what constraints cost, alone."""

from concordance_inference.models.blas import preload_blas

if __name__ == "__main__":
    preload_blas()  # before anything imports mlx
    from concordance_inference.bench.cases.constraints import main

    main()
