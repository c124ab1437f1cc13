include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(pare_cmake_dir ${CMAKE_INSTALL_DATADIR}/cmake/pare)  # headers alone: the same for every machine

install(TARGETS ${pare_libraries} EXPORT pareTargets FILE_SET HEADERS)
install(EXPORT pareTargets NAMESPACE pare:: DESTINATION ${pare_cmake_dir})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/pareConfig.cmake.in
    ${PROJECT_BINARY_DIR}/pareConfig.cmake INSTALL_DESTINATION ${pare_cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/pareConfigVersion.cmake
    COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/pareConfig.cmake ${PROJECT_BINARY_DIR}/pareConfigVersion.cmake
              ${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake
        DESTINATION ${pare_cmake_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
