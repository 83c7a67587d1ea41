"""From point clouds and depth images to closed meshes: `r2s object reconstruct`.

Files in (`ply`, `pcd`, `depth_folder`, `apc_folder`), a `PointCloud` (`cloud`), perhaps split into
objects (`plane`, `segment`), cleaned and given normals (`clean`, `normals`), its surface found by a
screened Poisson solve on a grid (`surface`, `grid`, `tetrahedra`), closed and checked (`pipeline`).
"""
