# What the library stands on. Read by its own build and by the installed package alike, so that both
# find the same things in the same way.
find_package(Threads REQUIRED)

find_package(xsimd QUIET)
if(TARGET xsimd)
    # Debian 12's xsimd asks for a library `xtl`, which no package provides.
    get_target_property(xsimd_links xsimd INTERFACE_LINK_LIBRARIES)
    if("xtl" IN_LIST xsimd_links AND NOT TARGET xtl)
        list(REMOVE_ITEM xsimd_links xtl)
        set_target_properties(xsimd PROPERTIES INTERFACE_LINK_LIBRARIES "${xsimd_links}")
    endif()
elseif(NOT pare_FIND_QUIETLY)
    message(STATUS "pare: no xsimd found; install it (Debian: libxsimd-dev) "
                   "or define PARE_NO_XSIMD to compile the scalar kernels")
endif()

find_package(Eigen3 3.4 QUIET NO_MODULE)
