"""From point clouds and depth images to closed meshes: `r2s object reconstruct`.

Files (`ply`, `pcd`, `depth_folder`, `apc_folder`) are read into a `PointCloud` (`cloud`), split
into objects if asked (`plane`, `segment`), cleaned and given normals (`clean`, `normals`); a
screened Poisson solve on a grid gives the surface (`surface`, `grid`, `tetrahedra`), which is
closed and checked (`pipeline`).
"""
